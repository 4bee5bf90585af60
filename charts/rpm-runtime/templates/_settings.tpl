{{/* Written by charts/reference.py: the variables that take true and false; in the others, false is off. */}}
{{- define "rpm-runtime.booleans" -}}
RPM_INSTANCES_FOLLOW,RPM_STOP_MESSAGE,RPM_LOG_COMPRESS
{{- end }}
