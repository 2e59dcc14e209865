#!/bin/sh
# Makes deploy/secrets once: random passwords, and where alerts go. Nothing that exists is changed.
#   deploy/prepare.sh https://hooks.example.org/candor
set -eu
umask 077
cd "$(dirname "$0")"
if [ -e secrets ]; then
  echo "deploy/secrets exists already; delete it to make new passwords, together with the volumes that hold the old ones" >&2
  exit 2
fi
webhook=${1:?where alerts go, such as https://hooks.example.org/candor}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
mkdir secrets
password=$(random)
printf '%s' "$password" > secrets/postgres_password
printf 'postgresql+psycopg://candor:%s@postgres/candor' "$password" > secrets/database_url
random > secrets/grafana_password
printf '%s' "$webhook" > secrets/alert_webhook_url
# Containers run as other users than you: the files are readable, the folder that holds them is yours alone.
chmod 0444 secrets/*
echo "made deploy/secrets; Grafana's password for admin is in deploy/secrets/grafana_password"
