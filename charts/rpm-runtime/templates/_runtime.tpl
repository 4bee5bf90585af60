{{/*
What becomes of `runtime`: the text of each variable, and the numbers that are calculated from them.
*/}}

{{/* The text of a value. Arguments: name, value. YAML reads `on` and `off` without quotes as booleans, and large numbers as fractions. */}}
{{- define "rpm-runtime.text" -}}
{{- if kindIs "bool" .value }}
{{- if has .name (splitList "," (include "rpm-runtime.booleans" .)) }}
{{- .value }}
{{- else }}
{{- ternary "on" "off" .value }}
{{- end }}
{{- else if kindIs "slice" .value }}
{{- $parts := list }}
{{- range .value }}{{ $parts = append $parts (include "rpm-runtime.text" (dict "name" $.name "value" .)) }}{{ end }}
{{- join "," $parts }}
{{- else if kindIs "float64" .value }}
{{- int64 .value }}
{{- else }}
{{- .value }}
{{- end }}
{{- end }}

{{/* The value that counts for a variable, as text. Arguments: root, name, default. */}}
{{- define "rpm-runtime.variable" -}}
{{- $text := "" }}
{{- if hasKey .root.Values.runtime .name }}
{{- $value := get .root.Values.runtime .name }}
{{- if not (kindIs "invalid" $value) }}
{{- $text = include "rpm-runtime.text" (dict "name" .name "value" $value) }}
{{- end }}
{{- end }}
{{- $text | default .default }}
{{- end }}

{{/* A duration such as 500ms, 30s, 2m or 1h in milliseconds. Arguments: root, name, default. */}}
{{- define "rpm-runtime.milliseconds" -}}
{{- $text := include "rpm-runtime.variable" . | trim }}
{{- $number := regexFind "^[0-9]+" $text | int64 }}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "" 1 }}
{{- mul $number (get $units (regexFind "[a-z]*$" $text)) }}
{{- end }}

{{/* `ports` as JSON, without those that are null; `expose` is filled in. All templates read the ports from here. */}}
{{- define "rpm-runtime.portMap" -}}
{{- $ports := dict }}
{{- range $name, $port := .Values.ports }}
{{- if $port }}
{{- $expose := kindIs "bool" $port.expose | ternary $port.expose (ne $port.shared false) }}
{{- $_ := set $ports $name (merge (dict "expose" $expose "protocol" ($port.protocol | default "TCP")) $port) }}
{{- end }}
{{- end }}
{{- toJson $ports }}
{{- end }}

{{/* As portMap, only the ports that others may reach: those of the Service and of the NetworkPolicy. */}}
{{- define "rpm-runtime.exposedPorts" -}}
{{- $ports := dict }}
{{- range $name, $port := include "rpm-runtime.portMap" . | fromJson }}
{{- if $port.expose }}{{ $_ := set $ports $name $port }}{{ end }}
{{- end }}
{{- toJson $ports }}
{{- end }}

{{/* The names of `ports`, in the order of RPM_PORTS: http first, then by name. */}}
{{- define "rpm-runtime.portNames" -}}
{{- $names := include "rpm-runtime.portMap" . | fromJson | keys | sortAlpha }}
{{- if has "http" $names }}{{ $names = prepend (without $names "http") "http" }}{{ end }}
{{- join "," $names }}
{{- end }}

{{/* The name of the port that Ingress and HTTPRoute mean if none is named; empty without an exposed TCP port. */}}
{{- define "rpm-runtime.mainPort" -}}
{{- $found := "" }}
{{- $ports := include "rpm-runtime.exposedPorts" . | fromJson }}
{{- range splitList "," (include "rpm-runtime.portNames" .) }}
{{- $port := get $ports . }}
{{- if and $port (not $found) }}{{ if ne $port.protocol "UDP" }}{{ $found = . }}{{ end }}{{ end }}
{{- end }}
{{- $found }}
{{- end }}

{{/* Checks the name of a port, or takes the main port. Arguments: root, name, value (who names it). */}}
{{- define "rpm-runtime.port" -}}
{{- $name := .name | default (include "rpm-runtime.mainPort" .root) }}
{{- if not $name }}{{ fail (printf "%s: there is no exposed TCP port in `ports`" .value) }}{{ end }}
{{- $port := get (include "rpm-runtime.portMap" .root | fromJson) $name }}
{{- if not $port }}
{{- fail (printf "%s: the port %s is not in `ports`" .value $name) }}
{{- end }}
{{- if not $port.expose }}
{{- fail (printf "%s: the port %s is not in the Service, see ports.%s.expose" .value $name $name) }}
{{- end }}
{{- $name }}
{{- end }}

{{/* RPM_PORTS: the shared ports of `ports`, or off. `runtime.RPM_PORTS` wins. */}}
{{- define "rpm-runtime.ports" -}}
{{- $shared := list }}
{{- $ports := include "rpm-runtime.portMap" . | fromJson }}
{{- range splitList "," (include "rpm-runtime.portNames" .) }}
{{- $port := get $ports . }}
{{- if $port }}
{{- if ne $port.shared false }}
{{- $shared = append $shared (printf "%s%d" (eq $port.protocol "UDP" | ternary "udp:" "") (int64 $port.port)) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "rpm-runtime.variable" (dict "root" . "name" "RPM_PORTS" "default" (join "," $shared | default "off")) }}
{{- end }}

{{/* The port of RPM_ADMIN_ADDR; empty if it is off. */}}
{{- define "rpm-runtime.adminPort" -}}
{{- $address := include "rpm-runtime.variable" (dict "root" . "name" "RPM_ADMIN_ADDR" "default" "[::]:9464") }}
{{- if ne (lower $address) "off" }}
{{- if regexMatch "^(tcp://)?(127\\.|\\[::1\\])" $address }}
{{- fail (printf "runtime.RPM_ADMIN_ADDR: %s cannot be reached by the kubelet, which asks the probes; use [::]:9464, or off" $address) }}
{{- end }}
{{- $port := regexFind "[0-9]+$" $address }}
{{- if eq 0 (atoi $port) }}
{{- fail (printf "runtime.RPM_ADMIN_ADDR: %s names no port that the kubelet can ask; use [::]:9464, or off" $address) }}
{{- end }}
{{- $port }}
{{- end }}
{{- end }}

{{/* The port, or an error if the admin endpoints are off. Arguments: root, value (who needs them). */}}
{{- define "rpm-runtime.neededAdminPort" -}}
{{- include "rpm-runtime.adminPort" .root | required (printf "%s: it needs the admin endpoints, and runtime.RPM_ADMIN_ADDR is off" .value) }}
{{- end }}

{{/* RPM_WATCH: what is set, and the mounted files that are watched. */}}
{{- define "rpm-runtime.watch" -}}
{{- $paths := list }}
{{- with include "rpm-runtime.variable" (dict "root" . "name" "RPM_WATCH" "default" "") }}{{ $paths = append $paths . }}{{ end }}
{{- range list "configFiles" "secretFiles" }}
{{- $files := get $.Values . }}
{{- if and $files.watch (or $files.files $files.existing) }}{{ $paths = append $paths $files.mountPath }}{{ end }}
{{- end }}
{{- join "," $paths }}
{{- end }}

{{/*
terminationGracePeriodSeconds, and the check that a stop fits into it. A stop takes RPM_SHUTDOWN_DELAY, then the drain if ports
are shared, then with application metrics a last scrape, then RPM_STOP_TIMEOUT, then a margin for the end. In the role of tini
(RPM_RESTART=never with one instance) the program alone decides.
*/}}
{{- define "rpm-runtime.gracePeriod" -}}
{{- $given := .Values.terminationGracePeriodSeconds }}
{{- $restart := include "rpm-runtime.variable" (dict "root" . "name" "RPM_RESTART" "default" "always") | lower }}
{{- $instances := include "rpm-runtime.variable" (dict "root" . "name" "RPM_INSTANCES" "default" "1") }}
{{- if and (eq $restart "never") (eq $instances "1") }}
{{- kindIs "invalid" $given | ternary 30 $given | int64 }}
{{- else }}
{{- $stop := include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_STOP_TIMEOUT" "default" "10s") | int64 }}
{{- $parts := list (list "RPM_SHUTDOWN_DELAY" (include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_SHUTDOWN_DELAY" "default" "0s") | int64)) }}
{{- $mode := include "rpm-runtime.variable" (dict "root" . "name" "RPM_EXEC_MODE" "default" "cluster") | lower }}
{{- if and (ne $mode "fork") (ne (include "rpm-runtime.ports" . | lower) "off") }}
{{- $parts = append $parts (list "RPM_DRAIN_TIMEOUT" (include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_DRAIN_TIMEOUT" "default" "5s") | int64)) }}
{{- $metrics := include "rpm-runtime.variable" (dict "root" . "name" "RPM_APP_METRICS" "default" "off") | lower }}
{{- if and (ne $metrics "off") (ne $metrics "multiproc") }}
{{- $parts = append $parts (list "the last scrape" (include "rpm-runtime.lastScrape" $stop | int64)) }}
{{- end }}
{{- end }}
{{- $parts = append $parts (list "RPM_STOP_TIMEOUT" $stop) }}
{{- with .Values.lifecycle.preStop }}
{{- with .sleep }}{{ $parts = prepend $parts (list "lifecycle.preStop.sleep" (mul .seconds 1000)) }}{{ end }}
{{- end }}
{{- $parts = append $parts (list "terminationMarginSeconds" (mul .Values.terminationMarginSeconds 1000)) }}
{{- $sum := 0 }}
{{- $said := list }}
{{- range $parts }}
{{- $time := last . | int64 }}
{{- $sum = add $sum $time }}
{{- if $time }}
{{- $said = append $said (printf "%s %s" (first .) (include "rpm-runtime.showTime" $time)) }}
{{- end }}
{{- end }}
{{- $needed := div (add $sum 999) 1000 }}
{{- if kindIs "invalid" $given }}
{{- max 30 $needed }}
{{- else if lt (int64 $given) $needed }}
{{- fail (printf "terminationGracePeriodSeconds: %d is too short, a stop takes up to %d seconds: %s" (int64 $given) $needed (join " + " $said)) }}
{{- else }}
{{- int64 $given }}
{{- end }}
{{- end }}
{{- end }}

{{/* The limit of the last scrape of a worker: a quarter of the grace, and 1s at most. */}}
{{- define "rpm-runtime.lastScrape" -}}
{{- min 1000 (div . 4) }}
{{- end }}

{{- define "rpm-runtime.showTime" -}}
{{- if mod . 1000 }}{{ . }}ms{{ else }}{{ div . 1000 }}s{{ end }}
{{- end }}

{{/*
failureThreshold of the startup probe, and the check that a start fits into it. Each of `attempts` may need RPM_READY_TIMEOUT;
between two of them the worker that was not ready has RPM_STOP_TIMEOUT to end, and its successor waits for the back-off.
*/}}
{{- define "rpm-runtime.startupThreshold" -}}
{{- $probe := .Values.probes.startup }}
{{- $period := int64 $probe.periodSeconds }}
{{- $attempts := int64 $probe.attempts }}
{{- $ready := include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_READY_TIMEOUT" "default" "30s") | int64 }}
{{- $stop := include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_STOP_TIMEOUT" "default" "10s") | int64 }}
{{- $least := include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_BACKOFF_MIN" "default" "100ms") | int64 }}
{{- $most := include "rpm-runtime.milliseconds" (dict "root" . "name" "RPM_BACKOFF_MAX" "default" "15s") | int64 }}
{{- /* It doubles with each attempt, and is up to a tenth longer. */}}
{{- $backoff := 0 }}
{{- $next := $least }}
{{- range until (int (sub $attempts 1)) }}
{{- $backoff = add $backoff (min $most (div (mul $next 11) 10)) }}
{{- $next = min $most (mul $next 2) }}
{{- end }}
{{- $budget := add (div (add (mul $ready $attempts) (mul $stop (sub $attempts 1)) $backoff 999) 1000) 10 }}
{{- if kindIs "invalid" $probe.failureThreshold }}
{{- div (sub (add $budget $period) 1) $period }}
{{- else if lt (mul $period (int64 $probe.failureThreshold)) $budget }}
{{- fail (printf "probes.startup.failureThreshold: %d x %ds is too short, a start takes up to %d seconds: %d x RPM_READY_TIMEOUT %s + %d x RPM_STOP_TIMEOUT %s + the back-off %s + 10s" (int64 $probe.failureThreshold) $period $budget $attempts (include "rpm-runtime.showTime" $ready) (sub $attempts 1) (include "rpm-runtime.showTime" $stop) (include "rpm-runtime.showTime" $backoff)) }}
{{- else }}
{{- int64 $probe.failureThreshold }}
{{- end }}
{{- end }}

{{/*
What a resize of a running pod does: `resizePolicy`, or from the variables. RPM_INSTANCES=max follows the CPUs, and the room for
workers; a percentage in RPM_MAX_MEMORY follows the memory limit. Only without RPM_INSTANCES_FOLLOW, and for the number of workers
with RPM_RESTART=never, a restart has to count anew.
*/}}
{{- define "rpm-runtime.resizePolicy" -}}
{{- if .Values.resizePolicy }}
{{- toYaml .Values.resizePolicy }}
{{- else }}
{{- $max := hasPrefix "max" (include "rpm-runtime.variable" (dict "root" . "name" "RPM_INSTANCES" "default" "1") | lower) }}
{{- $most := include "rpm-runtime.variable" (dict "root" . "name" "RPM_MAX_MEMORY" "default" "") }}
{{- $follow := include "rpm-runtime.variable" (dict "root" . "name" "RPM_INSTANCES_FOLLOW" "default" "true") | trim | lower }}
{{- $off := has $follow (list "false" "0") }}
{{- $never := eq "never" (include "rpm-runtime.variable" (dict "root" . "name" "RPM_RESTART" "default" "always") | trim | lower) }}
{{- $part := hasSuffix "%" $most }}
{{- $counts := and $max (or $off $never) }}
- resourceName: cpu
  restartPolicy: {{ ternary "RestartContainer" "NotRequired" $counts }}
- resourceName: memory
  restartPolicy: {{ ternary "RestartContainer" "NotRequired" (or (and $counts (ne $most "") (not $part)) (and $part $off)) }}
{{- end }}
{{- end }}
