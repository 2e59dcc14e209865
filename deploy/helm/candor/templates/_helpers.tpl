{{- define "candor.name" -}}
{{- printf "%s" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "candor.selector" -}}
app.kubernetes.io/name: candor
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "candor.labels" -}}
{{ include "candor.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The image of a target: base, local or retrain. */}}
{{- define "candor.image" -}}
{{- $suffix := ternary "" (printf "-%s" .target) (eq .target "base") -}}
{{ .root.Values.image.repository }}{{ $suffix }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* What every pod of ours is not allowed. */}}
{{- define "candor.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "candor.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* How to reach Kafka. */}}
{{- define "candor.kafkaEnv" -}}
- {name: CANDOR_KAFKA_BOOTSTRAP_SERVERS, value: {{ required "kafka.bootstrapServers: name the brokers, such as kafka:9092" .Values.kafka.bootstrapServers | quote }}}
- {name: CANDOR_KAFKA_SECURITY_PROTOCOL, value: {{ .Values.kafka.securityProtocol | quote }}}
{{- with .Values.kafka.saslMechanism }}
- {name: CANDOR_KAFKA_SASL_MECHANISM, value: {{ . | quote }}}
- {name: CANDOR_KAFKA_SASL_USERNAME, value: {{ $.Values.kafka.saslUsername | quote }}}
- {name: CANDOR_KAFKA_SASL_PASSWORD_FILE, value: /etc/candor/kafka/password}
{{- end }}
{{- if .Values.kafka.ca.secretName }}
- {name: CANDOR_KAFKA_SSL_CA_FILE, value: /etc/candor/kafka-ca/ca.crt}
{{- end }}
{{- end }}

{{- define "candor.kafkaMounts" -}}
{{- if .Values.kafka.saslMechanism }}
- {name: kafka-password, mountPath: /etc/candor/kafka, readOnly: true}
{{- end }}
{{- if .Values.kafka.ca.secretName }}
- {name: kafka-ca, mountPath: /etc/candor/kafka-ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "candor.kafkaVolumes" -}}
{{- if .Values.kafka.saslMechanism }}
- name: kafka-password
  secret:
    secretName: {{ required "kafka.saslPassword.secretName: name the secret with the SASL password" .Values.kafka.saslPassword.secretName }}
    items: [{key: {{ .Values.kafka.saslPassword.key | quote }}, path: password}]
    defaultMode: 0440
{{- end }}
{{- with .Values.kafka.ca }}
{{- if .secretName }}
- name: kafka-ca
  secret:
    secretName: {{ .secretName }}
    items: [{key: {{ .key | quote }}, path: ca.crt}]
{{- end }}
{{- end }}
{{- end }}

{{- define "candor.databaseEnv" -}}
- name: CANDOR_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.database.url.secretName | quote }}, key: {{ .Values.database.url.key | quote }}}}
{{- end }}

{{/* What worker, API and launcher are told alike. */}}
{{- define "candor.env" -}}
{{ include "candor.databaseEnv" . }}
{{ include "candor.kafkaEnv" . }}
- {name: CANDOR_PSEUDONYM_KEY_FILE, value: /etc/candor/keys/pseudonym.key}
- {name: CANDOR_SAMPLING_KEY_FILE, value: /etc/candor/keys/sampling.key}
- {name: CANDOR_TELEMETRY_HOST, value: 0.0.0.0}
{{- $judge := .Values.judge.url }}
{{- if .Values.vllm.enabled }}
{{- if $judge }}{{ fail "judge.url and vllm.enabled: give one judge, not two" }}{{ end }}
{{- $judge = printf "http://%s-judge:8000/v1" (include "candor.name" .) }}
{{- end }}
{{- with $judge }}
- {name: CANDOR_JUDGE_URL, value: {{ . | quote }}}
- {name: CANDOR_JUDGE_MODEL, value: {{ $.Values.judge.model | quote }}}
{{- end }}
{{- with .Values.assistantUrl }}
- {name: CANDOR_ASSISTANT_URL, value: {{ . | quote }}}
{{- end }}
{{- range $section, $fields := .Values.settings }}
{{- if eq $section "assistants" }}
- {name: CANDOR_ASSISTANTS, value: {{ toJson $fields | quote }}}
{{- else }}
{{- range $name, $value := $fields }}
- name: {{ printf "CANDOR_%s_%s" $section $name | upper }}
  value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The signing key: of those who sign decisions, launcher and API. */}}
{{- define "candor.signingEnv" -}}
{{- if .Values.signingKey.secretName }}
- {name: CANDOR_RETRAIN_SIGNING_KEY_FILE, value: /etc/candor/signing/signing.pem}
{{- end }}
{{- end }}

{{- define "candor.signingMounts" -}}
{{- if .Values.signingKey.secretName }}
- {name: signing, mountPath: /etc/candor/signing, readOnly: true}
{{- end }}
{{- end }}

{{- define "candor.signingVolumes" -}}
{{- if .Values.signingKey.secretName }}
- name: signing
  secret:
    secretName: {{ .Values.signingKey.secretName | quote }}
    items: [{key: {{ .Values.signingKey.key | quote }}, path: signing.pem}]
    defaultMode: 0440
{{- end }}
{{- end }}

{{- define "candor.mounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: keys, mountPath: /etc/candor/keys, readOnly: true}
{{- include "candor.kafkaMounts" . }}
{{- range $number, $mount := .Values.secretMounts }}
- {name: {{ printf "secret-%d" $number }}, mountPath: {{ $mount.path | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "candor.volumes" -}}
- name: tmp
  emptyDir: {sizeLimit: 2Gi}
- name: keys
  secret: {secretName: {{ .Values.keys.secretName | quote }}, defaultMode: 0440}
{{- include "candor.kafkaVolumes" . }}
{{- range $number, $mount := .Values.secretMounts }}
- name: {{ printf "secret-%d" $number }}
  secret: {secretName: {{ $mount.secretName | quote }}, defaultMode: 0440}
{{- end }}
{{- end }}

{{/* Head of a pod of ours. */}}
{{- define "candor.podHead" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{- include "candor.podSecurity" . | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "candor.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Replicas go to different machines where there are some. */}}
{{- define "candor.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "candor.selector" . | nindent 8 }}
{{- end }}

{{- define "candor.annotations" -}}
{{- with .Values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
