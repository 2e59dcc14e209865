{{/* A native sidecar for the assistant's pod: an init container that keeps running (Kubernetes 1.29). */}}
{{- define "candor.tap" -}}
- name: candor-tap
  image: {{ include "candor.image" (dict "root" . "target" "base") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [tap]
  env:
    - {name: CANDOR_TAP_PORT, value: {{ .Values.tap.port | quote }}}
    - {name: CANDOR_PSEUDONYM_KEY_FILE, value: /etc/candor/keys/pseudonym.key}
    {{- include "candor.kafkaEnv" . | nindent 4 }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    {{- include "candor.containerSecurity" . | nindent 4 }}
  resources: {{- toYaml .Values.tap.resources | nindent 4 }}
  # It listens on localhost alone, so it is asked from inside the container.
  startupProbe:
    exec: {command: [python, /usr/local/lib/candor-healthcheck.py, "http://127.0.0.1:{{ .Values.tap.port }}/healthz"]}
    periodSeconds: 3
    timeoutSeconds: 5
    failureThreshold: 20
  volumeMounts:
    - {name: candor-pseudonym, mountPath: /etc/candor/keys, readOnly: true}
    - {name: candor-tmp, mountPath: /tmp}
    {{- include "candor.kafkaMounts" . | nindent 4 }}
{{- end }}

{{/* Volumes of the sidecar: of Candor's keys it gets the pseudonym key alone. */}}
{{- define "candor.tapVolumes" -}}
- name: candor-pseudonym
  secret:
    secretName: {{ .Values.keys.secretName | quote }}
    items: [{key: pseudonym.key, path: pseudonym.key}]
    defaultMode: 0440
- name: candor-tmp
  emptyDir: {sizeLimit: 64Mi}
{{- include "candor.kafkaVolumes" . }}
{{- end }}
