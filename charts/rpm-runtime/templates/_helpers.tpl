{{/* Names and labels. */}}

{{- define "rpm-runtime.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* At most 57 letters, so that "-admin" and "-files" fit behind it. */}}
{{- define "rpm-runtime.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $both := printf "%s-%s" .Release.Name $name }}
{{- if contains $name .Release.Name }}{{ $both = .Release.Name }}{{ end }}
{{- default $both .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- end }}

{{- define "rpm-runtime.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rpm-runtime.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* The version is that of the program, if its tag can be a label. */}}
{{- define "rpm-runtime.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "rpm-runtime.selectorLabels" . }}
{{- if regexMatch "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" .Values.image.tag }}
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
{{- end }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object. Arguments: root, and optionally name, namespace, labels, annotations, component. */}}
{{- define "rpm-runtime.metadata" -}}
name: {{ .name | default (include "rpm-runtime.fullname" .root) }}
namespace: {{ .namespace | default .root.Release.Namespace }}
labels:
  {{- include "rpm-runtime.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rpm-runtime.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rpm-runtime.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* An image. Arguments: image (repository, tag, digest), tag (if the image has none), value (its name, for messages). */}}
{{- define "rpm-runtime.image" -}}
{{- $repository := required (printf "%s.repository: the image is not named" .value) .image.repository }}
{{- $tag := .image.tag | default .tag }}
{{- if .image.digest }}
{{- printf "%s%s@%s" $repository (.image.tag | empty | ternary "" (printf ":%s" .image.tag)) .image.digest }}
{{- else if $tag }}
{{- printf "%s:%s" $repository $tag }}
{{- else }}
{{- fail (printf "%s.tag: the image %s has neither a tag nor a digest" .value $repository) }}
{{- end }}
{{- end }}

{{- define "rpm-runtime.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whether there is a Service for the admin endpoints: "true", or nothing. */}}
{{- define "rpm-runtime.adminService" -}}
{{- $who := "" }}
{{- if .Values.adminService.enabled }}{{ $who = "adminService.enabled" }}{{ end }}
{{- if .Values.serviceMonitor.enabled }}{{ $who = "serviceMonitor.enabled" }}{{ end }}
{{- if $who }}{{ $_ := include "rpm-runtime.neededAdminPort" (dict "root" . "value" $who) }}true
{{- else if and .Values.tests.enabled (include "rpm-runtime.adminPort" .) }}true
{{- end }}
{{- end }}
