{{/* Parts of the pod: volumes, mounts, spread. */}}

{{- define "rpm-runtime.volumes" -}}
{{- if .Values.inject.enabled }}
- name: rpm-runtime
  emptyDir:
    sizeLimit: 32Mi
{{- end }}
{{- range $name, $dir := .Values.emptyDirs }}
{{- if $dir }}
- name: {{ $name }}
  {{- with pick $dir "sizeLimit" "medium" }}
  emptyDir:
    {{- toYaml . | nindent 4 }}
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- end }}
{{- end }}
{{- with .Values.configFiles }}
{{- if or .files .existing }}
- name: config-files
  configMap:
    name: {{ .existing | default (printf "%s-files" (include "rpm-runtime.fullname" $)) }}
{{- end }}
{{- end }}
{{- with .Values.secretFiles }}
{{- if or .files .existing }}
- name: secret-files
  secret:
    secretName: {{ .existing | default (printf "%s-files" (include "rpm-runtime.fullname" $)) }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A directory is mounted, never one file of it: a file that is mounted alone never changes. */}}
{{- define "rpm-runtime.mounts" -}}
{{- if .Values.inject.enabled }}
- name: rpm-runtime
  mountPath: {{ .Values.inject.directory }}
  readOnly: true
{{- end }}
{{- range $name, $dir := .Values.emptyDirs }}
{{- if $dir }}
- name: {{ $name }}
  mountPath: {{ $dir.mountPath }}
{{- end }}
{{- end }}
{{- range $name := list "configFiles" "secretFiles" }}
{{- with get $.Values $name }}
{{- if or .files .existing }}
- name: {{ kebabcase $name }}
  mountPath: {{ .mountPath }}
  readOnly: true
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rpm-runtime.spread" -}}
{{- $selector := include "rpm-runtime.selectorLabels" . | fromYaml }}
{{- $all := list }}
{{- with .Values.topologySpread }}
{{- if .enabled }}
{{- $all = append $all (pick . "maxSkew" "topologyKey" "whenUnsatisfiable") }}
{{- end }}
{{- end }}
{{- range $constraint := concat $all .Values.topologySpreadConstraints }}
{{- $own := dict "labelSelector" (dict "matchLabels" $selector) }}
{{- if semverCompare ">=1.27-0" $.Capabilities.KubeVersion.Version }}
{{- /* Only pods of the same version count, so that a rollout does not end lopsided. */}}
{{- $_ := set $own "matchLabelKeys" (list "pod-template-hash") }}
{{- end }}
{{- if hasKey $constraint "labelSelector" }}{{ $own = dict }}{{ end }}
- {{ merge (dict) $constraint $own | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* Containers that run before the program: first the one that brings the binary. Nothing in its image is needed but the binary. */}}
{{- define "rpm-runtime.injector" -}}
- name: rpm-runtime
  image: {{ include "rpm-runtime.image" (dict "image" .Values.inject.image "tag" .Chart.AppVersion "value" "inject.image") | quote }}
  {{- with .Values.inject.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  command: [/rpm-runtime, --copy-to, {{ printf "%s/rpm-runtime" .Values.inject.directory | quote }}]
  {{- with .Values.inject.resources }}
  resources:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.securityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: rpm-runtime
      mountPath: {{ .Values.inject.directory }}
{{- end }}

{{/* The command of the container; empty is that of the image. */}}
{{- define "rpm-runtime.command" -}}
{{- if .Values.inject.enabled }}
{{- toYaml (list (printf "%s/rpm-runtime" .Values.inject.directory)) }}
{{- else if .Values.command }}
{{- toYaml .Values.command }}
{{- end }}
{{- end }}
