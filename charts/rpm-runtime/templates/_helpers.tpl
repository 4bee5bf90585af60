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
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* The version is that of the program, if its tag can be a label. commonLabels win, except over those that selectors use. */}}
{{- define "rpm-runtime.labels" -}}
{{- $own := include "rpm-runtime.selectorLabels" . | fromYaml }}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- if regexMatch "^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$" .Values.image.tag }}
{{- $_ := set $own "app.kubernetes.io/version" .Values.image.tag }}
{{- end }}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service }}
{{- merge (dict) .Values.commonLabels $own | toYaml }}
{{- end }}

{{/* metadata of an object. Arguments: root, and optionally name, namespace, labels, annotations, component. */}}
{{- define "rpm-runtime.metadata" -}}
name: {{ .name | default (include "rpm-runtime.fullname" .root) }}
namespace: {{ .namespace | default .root.Release.Namespace }}
{{- $component := empty .component | ternary dict (dict "app.kubernetes.io/component" .component) }}
labels:
  {{- merge (dict) $component (.labels | default dict) (include "rpm-runtime.labels" .root | fromYaml) | toYaml | nindent 2 }}
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

{{/*
Who needs a Service for the admin endpoints: "release" if it belongs to the release, "test" if it is there only while `helm test`
runs, or nothing.
*/}}
{{- define "rpm-runtime.adminService" -}}
{{- $who := "" }}
{{- if .Values.adminService.enabled }}{{ $who = "adminService.enabled" }}{{ end }}
{{- if .Values.serviceMonitor.enabled }}{{ $who = "serviceMonitor.enabled" }}{{ end }}
{{- if $who }}{{ $_ := include "rpm-runtime.neededAdminPort" (dict "root" . "value" $who) }}release
{{- else if and .Values.tests.enabled (include "rpm-runtime.adminPort" .) }}test
{{- end }}
{{- end }}
