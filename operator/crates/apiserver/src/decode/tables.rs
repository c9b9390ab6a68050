//! The Protocol Buffers layout of the kinds that typed clients send, as published in Kubernetes'
//! `generated.proto` files: field number, JSON name, shape.

use super::protobuf::Shape::{
    Bool, BytesMap, Count, Int, Json, ListMap, Message, Messages, MicroTime, QuantityMap, Text,
    TextKept, TextMap, Texts, Time,
};
use super::protobuf::{Field, field};

mod definition;

/// The layout of a kind; `None` for kinds that are not sent in this form.
pub(super) fn layout(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    Some(match (api_version, kind) {
        (_, "DeleteOptions") => DELETE_OPTIONS,
        ("v1", "Namespace") => NAMESPACE,
        ("v1", "Secret") => SECRET,
        ("v1", "ConfigMap") => CONFIG_MAP,
        ("v1", "ServiceAccount") => SERVICE_ACCOUNT,
        ("v1", "ResourceQuota") => RESOURCE_QUOTA,
        ("v1", "LimitRange") => LIMIT_RANGE,
        ("v1", "Event") => EVENT,
        ("events.k8s.io/v1", "Event") => NEWER_EVENT,
        ("coordination.k8s.io/v1", "Lease") => LEASE,
        ("authentication.k8s.io/v1", "SelfSubjectReview") => META_ONLY,
        ("authentication.k8s.io/v1", "TokenRequest") => TOKEN_REQUEST,
        ("authentication.k8s.io/v1", "TokenReview") => TOKEN_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => SELF_ACCESS,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => SELF_RULES,
        ("authorization.k8s.io/v1", "SubjectAccessReview" | "LocalSubjectAccessReview") => {
            SUBJECT_ACCESS
        }
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => definition::DEFINITION,
        ("rbac.authorization.k8s.io/v1", "Role") => ROLE,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => CLUSTER_ROLE,
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => ROLE_BINDING,
        _ => return None,
    })
}

/// `runtime.Unknown`, the envelope.
pub(super) const TYPE_META: &[Field] = &[field(1, "apiVersion", Text), field(2, "kind", Text)];

const META: Field = field(1, "metadata", Message(OBJECT_META));
const META_ONLY: &[Field] = &[META];

const OBJECT_META: &[Field] = &[
    field(1, "name", Text),
    field(2, "generateName", Text),
    field(3, "namespace", Text),
    field(4, "selfLink", Text),
    field(5, "uid", Text),
    field(6, "resourceVersion", Text),
    field(7, "generation", Count),
    field(8, "creationTimestamp", Time),
    field(9, "deletionTimestamp", Time),
    field(10, "deletionGracePeriodSeconds", Int),
    field(11, "labels", TextMap),
    field(12, "annotations", TextMap),
    field(13, "ownerReferences", Messages(OWNER_REFERENCE)),
    field(14, "finalizers", Texts),
    field(17, "managedFields", Messages(MANAGED_FIELDS)),
];

const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    field(6, "controller", Bool),
    field(7, "blockOwnerDeletion", Bool),
];

const MANAGED_FIELDS: &[Field] = &[
    field(1, "manager", Text),
    field(2, "operation", Text),
    field(3, "apiVersion", Text),
    field(4, "time", Time),
    field(6, "fieldsType", Text),
    field(7, "fieldsV1", Json),
    field(8, "subresource", Text),
];

const DELETE_OPTIONS: &[Field] = &[
    field(1, "gracePeriodSeconds", Int),
    field(2, "preconditions", Message(PRECONDITIONS)),
    field(3, "orphanDependents", Bool),
    field(4, "propagationPolicy", Text),
    field(5, "dryRun", Texts),
];

const PRECONDITIONS: &[Field] = &[field(1, "uid", Text), field(2, "resourceVersion", Text)];

const NAMESPACE: &[Field] = &[
    META,
    field(2, "spec", Message(&[field(1, "finalizers", Texts)])),
    field(3, "status", Message(NAMESPACE_STATUS)),
];

const NAMESPACE_STATUS: &[Field] = &[
    field(1, "phase", Text),
    field(2, "conditions", Messages(NAMESPACE_CONDITION)),
];

const NAMESPACE_CONDITION: &[Field] = &[
    field(1, "type", Text),
    field(2, "status", Text),
    field(4, "lastTransitionTime", Time),
    field(5, "reason", Text),
    field(6, "message", Text),
];

const SECRET: &[Field] = &[
    META,
    field(2, "data", BytesMap),
    field(3, "type", Text),
    field(4, "stringData", TextMap),
    field(5, "immutable", Bool),
];

const CONFIG_MAP: &[Field] = &[
    META,
    field(2, "data", TextMap),
    field(3, "binaryData", BytesMap),
    field(4, "immutable", Bool),
];

const RESOURCE_QUOTA: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[
            field(1, "hard", QuantityMap),
            field(2, "scopes", Texts),
            field(3, "scopeSelector", Message(SCOPE_SELECTOR)),
        ]),
    ),
    field(
        3,
        "status",
        Message(&[field(1, "hard", QuantityMap), field(2, "used", QuantityMap)]),
    ),
];

const SCOPE_SELECTOR: &[Field] = &[field(
    1,
    "matchExpressions",
    Messages(&[
        field(1, "scopeName", Text),
        field(2, "operator", Text),
        field(3, "values", Texts),
    ]),
)];

const LIMIT_RANGE: &[Field] = &[
    META,
    field(2, "spec", Message(&[field(1, "limits", Messages(LIMIT))])),
];

const LIMIT: &[Field] = &[
    field(1, "type", Text),
    field(2, "max", QuantityMap),
    field(3, "min", QuantityMap),
    field(4, "default", QuantityMap),
    field(5, "defaultRequest", QuantityMap),
    field(6, "maxLimitRequestRatio", QuantityMap),
];

const SERVICE_ACCOUNT: &[Field] = &[
    META,
    field(2, "secrets", Messages(OBJECT_REFERENCE)),
    field(3, "imagePullSecrets", Messages(&[field(1, "name", Text)])),
    field(4, "automountServiceAccountToken", Bool),
];

const OBJECT_REFERENCE: &[Field] = &[
    field(1, "kind", Text),
    field(2, "namespace", Text),
    field(3, "name", Text),
    field(4, "uid", Text),
    field(5, "apiVersion", Text),
    field(6, "resourceVersion", Text),
    field(7, "fieldPath", Text),
];

const EVENT: &[Field] = &[
    META,
    field(2, "involvedObject", Message(OBJECT_REFERENCE)),
    field(3, "reason", Text),
    field(4, "message", Text),
    field(5, "source", Message(EVENT_SOURCE)),
    field(6, "firstTimestamp", Time),
    field(7, "lastTimestamp", Time),
    field(8, "count", Count),
    field(9, "type", Text),
    field(10, "eventTime", MicroTime),
    field(11, "series", Message(EVENT_SERIES)),
    field(12, "action", Text),
    field(13, "related", Message(OBJECT_REFERENCE)),
    field(14, "reportingComponent", Text),
    field(15, "reportingInstance", Text),
];

const EVENT_SOURCE: &[Field] = &[field(1, "component", Text), field(2, "host", Text)];
const EVENT_SERIES: &[Field] = &[
    field(1, "count", Count),
    field(2, "lastObservedTime", MicroTime),
];

const NEWER_EVENT: &[Field] = &[
    META,
    field(2, "eventTime", MicroTime),
    field(3, "series", Message(EVENT_SERIES)),
    field(4, "reportingController", Text),
    field(5, "reportingInstance", Text),
    field(6, "action", Text),
    field(7, "reason", Text),
    field(8, "regarding", Message(OBJECT_REFERENCE)),
    field(9, "related", Message(OBJECT_REFERENCE)),
    field(10, "note", Text),
    field(11, "type", Text),
    field(12, "deprecatedSource", Message(EVENT_SOURCE)),
    field(13, "deprecatedFirstTimestamp", Time),
    field(14, "deprecatedLastTimestamp", Time),
    field(15, "deprecatedCount", Count),
];

const LEASE: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[
            field(1, "holderIdentity", TextKept),
            field(2, "leaseDurationSeconds", Int),
            field(3, "acquireTime", MicroTime),
            field(4, "renewTime", MicroTime),
            field(5, "leaseTransitions", Int),
            field(6, "strategy", TextKept),
            field(7, "preferredHolder", TextKept),
        ]),
    ),
];

const ROLE: &[Field] = &[META, field(2, "rules", Messages(POLICY_RULE))];

const CLUSTER_ROLE: &[Field] = &[
    META,
    field(2, "rules", Messages(POLICY_RULE)),
    field(
        3,
        "aggregationRule",
        Message(&[field(1, "clusterRoleSelectors", Messages(LABEL_SELECTOR))]),
    ),
];

const POLICY_RULE: &[Field] = &[
    field(1, "verbs", Texts),
    field(2, "apiGroups", Texts),
    field(3, "resources", Texts),
    field(4, "resourceNames", Texts),
    field(5, "nonResourceURLs", Texts),
];

const LABEL_SELECTOR: &[Field] = &[
    field(1, "matchLabels", TextMap),
    field(
        2,
        "matchExpressions",
        Messages(&[
            field(1, "key", Text),
            field(2, "operator", Text),
            field(3, "values", Texts),
        ]),
    ),
];

const ROLE_BINDING: &[Field] = &[
    META,
    field(
        2,
        "subjects",
        Messages(&[
            field(1, "kind", Text),
            field(2, "apiGroup", Text),
            field(3, "name", Text),
            field(4, "namespace", Text),
        ]),
    ),
    field(
        3,
        "roleRef",
        Message(&[
            field(1, "apiGroup", Text),
            field(2, "kind", Text),
            field(3, "name", Text),
        ]),
    ),
];

const TOKEN_REQUEST: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[
            field(1, "audiences", Texts),
            field(
                3,
                "boundObjectRef",
                Message(&[
                    field(1, "kind", Text),
                    field(2, "apiVersion", Text),
                    field(3, "name", Text),
                    field(4, "uid", Text),
                ]),
            ),
            field(4, "expirationSeconds", Int),
        ]),
    ),
];

const TOKEN_REVIEW: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[field(1, "token", Text), field(2, "audiences", Texts)]),
    ),
];

const RESOURCE_ATTRIBUTES: &[Field] = &[
    field(1, "namespace", Text),
    field(2, "verb", Text),
    field(3, "group", Text),
    field(4, "version", Text),
    field(5, "resource", Text),
    field(6, "subresource", Text),
    field(7, "name", Text),
];

const PATH_ATTRIBUTES: &[Field] = &[field(1, "path", Text), field(2, "verb", Text)];

const SELF_ACCESS: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[
            field(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
            field(2, "nonResourceAttributes", Message(PATH_ATTRIBUTES)),
        ]),
    ),
];

const SELF_RULES: &[Field] = &[
    META,
    field(2, "spec", Message(&[field(1, "namespace", Text)])),
];

const SUBJECT_ACCESS: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[
            field(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
            field(2, "nonResourceAttributes", Message(PATH_ATTRIBUTES)),
            field(3, "user", Text),
            field(4, "groups", Texts),
            field(5, "extra", ListMap),
            field(6, "uid", Text),
        ]),
    ),
];
