//! What k8s-openapi does not say of the types of Kubernetes, or says too much.
//!
//! How lists merge is lost on its way from Kubernetes' own OpenAPI; the tables here put it back for
//! the kinds that are served. Go's decoder requires no fields, so `metadata` is not required either.

use serde_json::{Map, Value};

/// Lists that merge: type, field, list type, keys, strategic-merge key, strategies.
type MergedList = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
);

const MERGED_LISTS: &[MergedList] = &[
    ("meta.v1.ObjectMeta", "finalizers", "set", &[], "", "merge"),
    (
        "meta.v1.ObjectMeta",
        "ownerReferences",
        "map",
        &["uid"],
        "uid",
        "merge",
    ),
    (
        "core.v1.NamespaceStatus",
        "conditions",
        "map",
        &["type"],
        "type",
        "merge",
    ),
    (
        "core.v1.ServiceAccount",
        "secrets",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "containers",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "initContainers",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "ephemeralContainers",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "volumes",
        "map",
        &["name"],
        "name",
        "merge,retainKeys",
    ),
    (
        "core.v1.PodSpec",
        "resourceClaims",
        "map",
        &["name"],
        "name",
        "merge,retainKeys",
    ),
    (
        "core.v1.PodSpec",
        "schedulingGates",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "imagePullSecrets",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "hostAliases",
        "map",
        &["ip"],
        "ip",
        "merge",
    ),
    (
        "core.v1.PodSpec",
        "topologySpreadConstraints",
        "map",
        &["topologyKey", "whenUnsatisfiable"],
        "topologyKey",
        "merge",
    ),
    (
        "core.v1.Container",
        "env",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.Container",
        "ports",
        "map",
        &["containerPort", "protocol"],
        "containerPort",
        "merge",
    ),
    (
        "core.v1.Container",
        "volumeMounts",
        "map",
        &["mountPath"],
        "mountPath",
        "merge",
    ),
    (
        "core.v1.Container",
        "volumeDevices",
        "map",
        &["devicePath"],
        "devicePath",
        "merge",
    ),
    (
        "core.v1.EphemeralContainer",
        "env",
        "map",
        &["name"],
        "name",
        "merge",
    ),
    (
        "core.v1.EphemeralContainer",
        "ports",
        "map",
        &["containerPort", "protocol"],
        "containerPort",
        "merge",
    ),
    (
        "core.v1.EphemeralContainer",
        "volumeMounts",
        "map",
        &["mountPath"],
        "mountPath",
        "merge",
    ),
    (
        "core.v1.EphemeralContainer",
        "volumeDevices",
        "map",
        &["devicePath"],
        "devicePath",
        "merge",
    ),
    (
        "core.v1.PodStatus",
        "conditions",
        "map",
        &["type"],
        "type",
        "merge",
    ),
    ("core.v1.PodStatus", "podIPs", "map", &["ip"], "ip", "merge"),
    ("core.v1.PodStatus", "hostIPs", "atomic", &[], "ip", "merge"),
    (
        "apiextensions.v1.CustomResourceDefinitionStatus",
        "conditions",
        "map",
        &["type"],
        "",
        "",
    ),
];

/// Types that server-side apply replaces whole.
const ATOMIC_MAPS: &[&str] = &[
    "meta.v1.OwnerReference",
    "meta.v1.LabelSelector",
    "core.v1.ObjectReference",
    "core.v1.LocalObjectReference",
    "core.v1.TypedLocalObjectReference",
    "core.v1.SecretReference",
    "core.v1.SecretKeySelector",
    "core.v1.ConfigMapKeySelector",
    "core.v1.ObjectFieldSelector",
    "core.v1.ResourceFieldSelector",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ScopeSelector",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
];

/// Fields that k8s-openapi has always there, and that may be missing: type, field.
const OPTIONAL: &[(&str, &str)] = &[
    ("core.v1.LocalObjectReference", "name"),
    ("core.v1.ConfigMapEnvSource", "name"),
    ("core.v1.ConfigMapKeySelector", "name"),
    ("core.v1.ConfigMapProjection", "name"),
    ("core.v1.ConfigMapVolumeSource", "name"),
    ("core.v1.SecretEnvSource", "name"),
    ("core.v1.SecretKeySelector", "name"),
    ("core.v1.SecretProjection", "name"),
    ("rbac.v1.RoleRef", "apiGroup"),
];

/// Types whose values may be any JSON.
const FREE_FORM: &[&str] = &[
    "apiextensions.v1.JSON",
    "apiextensions.v1.JSONSchemaPropsOrArray",
    "apiextensions.v1.JSONSchemaPropsOrBool",
    "apiextensions.v1.JSONSchemaPropsOrStringArray",
];

/// Whether values of the type `name` may be any JSON.
pub(crate) fn is_free_form(name: &str) -> bool {
    FREE_FORM.iter().any(|suffix| is(name, suffix))
}

/// Is `name` that of the type with this `suffix`, its package and its name?
pub(super) fn is(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// What k8s-openapi does not say of a type: how its lists and it itself merge; and what it says
/// too much.
pub(crate) fn complete(type_name: &str, schema: &mut Map<String, Value>) {
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|field| {
            let optional = |(suffix, name): &(&str, &str)| field == name && is(type_name, suffix);
            field != "metadata" && !OPTIONAL.iter().any(optional)
        });
        if required.is_empty() {
            schema.remove("required");
        }
    }
    if ATOMIC_MAPS.iter().any(|suffix| is(type_name, suffix)) {
        schema.insert("x-kubernetes-map-type".into(), "atomic".into());
    }
    for entry in MERGED_LISTS.iter().filter(|entry| is(type_name, entry.0)) {
        annotate(schema, entry);
    }
}

fn annotate(
    definition: &mut Map<String, Value>,
    (_, field, list_type, keys, merge_key, strategy): &MergedList,
) {
    let Some(list) = definition
        .get_mut("properties")
        .and_then(|fields| fields.get_mut(*field))
    else {
        return;
    };
    list["x-kubernetes-list-type"] = (*list_type).into();
    if !keys.is_empty() {
        list["x-kubernetes-list-map-keys"] = (*keys).into();
    }
    if !merge_key.is_empty() {
        list["x-kubernetes-patch-merge-key"] = (*merge_key).into();
    }
    if !strategy.is_empty() {
        list["x-kubernetes-patch-strategy"] = (*strategy).into();
    }
}
