#!/bin/sh
# Runs candor. DATABASE_URL_FILE names a mounted secret that holds the URL of the database with its
# password, so that neither is written in a manifest or seen in the container's configuration.
set -eu
if [ -n "${DATABASE_URL_FILE:-}" ]; then
  CANDOR_DATABASE_URL=$(cat "$DATABASE_URL_FILE")
  export CANDOR_DATABASE_URL
  unset DATABASE_URL_FILE
fi
exec candor "$@"
