{{/* Values that contradict each other: each is refused with its name. */}}

{{- define "rpm-runtime.checks" -}}
{{- $ports := include "rpm-runtime.portMap" . | fromJson }}
{{- $admin := include "rpm-runtime.adminPort" . }}
{{- $taken := dict }}
{{- if $admin }}{{ $taken = dict (printf "TCP %s" $admin) "runtime.RPM_ADMIN_ADDR" }}{{ end }}
{{- range $name, $value := .Values.env }}
{{- if hasPrefix "RPM_" $name }}{{ fail (printf "env.%s: it belongs to the runtime, so its place is runtime.%s" $name $name) }}{{ end }}
{{- end }}
{{- if hasKey $ports "admin" }}{{ fail "ports.admin: the name is that of the port of runtime.RPM_ADMIN_ADDR" }}{{ end }}
{{- $published := dict }}
{{- range $name, $port := $ports }}
{{- $key := printf "%s %d" $port.protocol (int64 $port.port) }}
{{- if hasKey $taken $key }}
{{- fail (printf "ports.%s: the port %d is that of %s" $name (int64 $port.port) (get $taken $key)) }}
{{- end }}
{{- $_ := set $taken $key (printf "ports.%s" $name) }}
{{- if $port.expose }}
{{- $number := $port.servicePort | default $port.port | int64 }}
{{- $key = printf "%s %d" $port.protocol $number }}
{{- if hasKey $published $key }}
{{- fail (printf "ports.%s: the port %d of the Service is that of ports.%s" $name $number (get $published $key)) }}
{{- end }}
{{- $_ := set $published $key $name }}
{{- end }}
{{- end }}
{{- if and $ports (eq "off" (include "rpm-runtime.variable" (dict "root" . "name" "RPM_PORTS" "default" "") | lower)) }}
{{- range $name, $port := $ports }}
{{- if ne $port.shared false }}
{{- fail (printf "runtime.RPM_PORTS: off, but ports.%s shall be shared" $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- $memory := include "rpm-runtime.variable" (dict "root" . "name" "RPM_MAX_MEMORY" "default" "") }}
{{- if and (hasSuffix "%" $memory) (not (.Values.resources.limits | default dict).memory) }}
{{- fail (printf "runtime.RPM_MAX_MEMORY: %s is a part of resources.limits.memory, which is not set" $memory) }}
{{- end }}
{{- if .Values.inject.enabled }}
{{- if .Values.command }}
{{- fail "command: inject.enabled sets it to rpm-runtime; name the program in args" }}
{{- end }}
{{- if not (or .Values.args .Values.runtime.RPM_COMMAND) }}
{{- fail "args: with inject.enabled the program must be named here, since the image's ENTRYPOINT and CMD are not used" }}
{{- end }}
{{- end }}
{{- range list "configFiles" "secretFiles" }}
{{- $files := get $.Values . }}
{{- if and $files.files $files.existing }}
{{- fail (printf "%s.existing: there are %s.files too; only one of them can be mounted" . .) }}
{{- end }}
{{- end }}
{{- $mounted := dict }}
{{- range $mount := include "rpm-runtime.mounts" . | fromYamlArray }}
{{- $place := trimSuffix "/" $mount.mountPath }}
{{- if hasKey $mounted $place }}
{{- fail (printf "mountPath: %s is that of the volumes %s and %s" $mount.mountPath (get $mounted $place) $mount.name) }}
{{- end }}
{{- $_ := set $mounted $place $mount.name }}
{{- end }}
{{- range list "commonLabels" "podLabels" }}
{{- $value := . }}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{- if hasKey (get $.Values $value) $label }}
{{- fail (printf "%s: the chart sets %s itself, and selects pods by it" $value $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.service.externalTrafficPolicy (eq .Values.service.type "ClusterIP") }}
{{- fail (printf "service.externalTrafficPolicy: %s is for the types NodePort and LoadBalancer; service.type is ClusterIP" .Values.service.externalTrafficPolicy) }}
{{- end }}
{{- if and .Values.podMonitor.enabled .Values.serviceMonitor.enabled }}
{{- fail "serviceMonitor.enabled: podMonitor.enabled is true too, so each pod would be scraped twice" }}
{{- end }}
{{- if .Values.autoscaling.enabled }}
{{- $auto := .Values.autoscaling }}
{{- $requests := .Values.resources.requests | default dict }}
{{- $limits := .Values.resources.limits | default dict }}
{{- if gt (int64 $auto.minReplicas) (int64 $auto.maxReplicas) }}
{{- fail (printf "autoscaling.maxReplicas: %d is less than autoscaling.minReplicas %d" (int64 $auto.maxReplicas) (int64 $auto.minReplicas)) }}
{{- end }}
{{- if and $auto.cpuUtilization (not (or $requests.cpu $limits.cpu)) }}
{{- fail "autoscaling.cpuUtilization: a percentage of resources.requests.cpu, which is not set" }}
{{- end }}
{{- if and $auto.memoryUtilization (not (or $requests.memory $limits.memory)) }}
{{- fail "autoscaling.memoryUtilization: a percentage of resources.requests.memory, which is not set" }}
{{- end }}
{{- if not (or $auto.cpuUtilization $auto.memoryUtilization $auto.listenQueue.averageValue $auto.metrics) }}
{{- fail "autoscaling.enabled: no metric to scale by" }}
{{- end }}
{{- end }}
{{- $pdb := .Values.podDisruptionBudget }}
{{- if $pdb.enabled }}
{{- $min := not (kindIs "invalid" $pdb.minAvailable) }}
{{- $max := not (kindIs "invalid" $pdb.maxUnavailable) }}
{{- if and $min $max }}
{{- fail "podDisruptionBudget.minAvailable: podDisruptionBudget.maxUnavailable is set too; set it to null" }}
{{- else if not (or $min $max) }}
{{- fail "podDisruptionBudget.maxUnavailable: neither it nor minAvailable is set" }}
{{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.hosts: no host is named" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs: no gateway is named" }}
{{- end }}
{{- range list "ingress" "httpRoute" }}
{{- if and (get $.Values .).enabled (not $.Values.service.enabled) }}
{{- fail (printf "%s.enabled: it leads to the Service, and service.enabled is false" .) }}
{{- end }}
{{- end }}
{{- end }}
