//! The layout of `CustomResourceDefinition`: typed clients of apiextensions send it, operators that
//! install their own definitions among them. Statics, because schemas contain schemas.

use super::META;
use crate::decode::protobuf::Shape::{
    Bool, Count, Double, Either, Flag, Int, Json, Jsons, Message, MessageMap, Messages, Text,
    TextKept, Texts, Time,
};
use crate::decode::protobuf::{Field, field};

pub(super) static DEFINITION: &[Field] = &[
    META,
    field(
        2,
        "spec",
        Message(&[
            field(1, "group", Text),
            field(3, "names", Message(NAMES)),
            field(4, "scope", Text),
            field(7, "versions", Messages(VERSION)),
            field(9, "conversion", Message(CONVERSION)),
            field(10, "preserveUnknownFields", Flag),
        ]),
    ),
    field(
        3,
        "status",
        Message(&[
            field(1, "conditions", Messages(CONDITION)),
            field(2, "acceptedNames", Message(NAMES)),
            field(3, "storedVersions", Texts),
            field(4, "observedGeneration", Count),
        ]),
    ),
];

const NAMES: &[Field] = &[
    field(1, "plural", Text),
    field(2, "singular", Text),
    field(3, "shortNames", Texts),
    field(4, "kind", Text),
    field(5, "listKind", Text),
    field(6, "categories", Texts),
];

const CONDITION: &[Field] = &[
    field(1, "type", Text),
    field(2, "status", Text),
    field(3, "lastTransitionTime", Time),
    field(4, "reason", Text),
    field(5, "message", Text),
    field(6, "observedGeneration", Count),
];

/// Webhooks are refused, so that there is one is all that is read.
const CONVERSION: &[Field] = &[
    field(1, "strategy", Text),
    field(
        2,
        "webhook",
        Message(&[field(3, "conversionReviewVersions", Texts)]),
    ),
];

static VERSION: &[Field] = &[
    field(1, "name", Text),
    field(2, "served", Bool),
    field(3, "storage", Bool),
    field(
        4,
        "schema",
        Message(&[field(1, "openAPIV3Schema", Message(&SCHEMA))]),
    ),
    field(5, "subresources", Message(SUBRESOURCES)),
    field(6, "additionalPrinterColumns", Messages(COLUMN)),
    field(7, "deprecated", Flag),
    field(8, "deprecationWarning", TextKept),
    field(
        9,
        "selectableFields",
        Messages(&[field(1, "jsonPath", Text)]),
    ),
];

const SUBRESOURCES: &[Field] = &[
    field(1, "status", Message(&[])),
    field(
        2,
        "scale",
        Message(&[
            field(1, "specReplicasPath", Text),
            field(2, "statusReplicasPath", Text),
            field(3, "labelSelectorPath", TextKept),
        ]),
    ),
];

const COLUMN: &[Field] = &[
    field(1, "name", Text),
    field(2, "type", Text),
    field(3, "format", Text),
    field(4, "description", Text),
    field(5, "priority", Count),
    field(6, "jsonPath", Text),
];

static SCHEMA: [Field; 44] = [
    field(1, "id", Text),
    field(2, "$schema", Text),
    field(3, "$ref", TextKept),
    field(4, "description", Text),
    field(5, "type", Text),
    field(6, "format", Text),
    field(7, "title", Text),
    field(8, "default", Json),
    field(9, "maximum", Double),
    field(10, "exclusiveMaximum", Flag),
    field(11, "minimum", Double),
    field(12, "exclusiveMinimum", Flag),
    field(13, "maxLength", Int),
    field(14, "minLength", Int),
    field(15, "pattern", Text),
    field(16, "maxItems", Int),
    field(17, "minItems", Int),
    field(18, "uniqueItems", Flag),
    field(19, "multipleOf", Double),
    field(20, "enum", Jsons),
    field(21, "maxProperties", Int),
    field(22, "minProperties", Int),
    field(23, "required", Texts),
    field(24, "items", Either(OR_ARRAY)),
    field(25, "allOf", Messages(&SCHEMA)),
    field(26, "oneOf", Messages(&SCHEMA)),
    field(27, "anyOf", Messages(&SCHEMA)),
    field(28, "not", Message(&SCHEMA)),
    field(29, "properties", MessageMap(&SCHEMA)),
    field(30, "additionalProperties", Either(OR_BOOL)),
    field(31, "patternProperties", MessageMap(&SCHEMA)),
    field(32, "dependencies", MessageMap(&SCHEMA)),
    field(33, "additionalItems", Either(OR_BOOL)),
    field(34, "definitions", MessageMap(&SCHEMA)),
    field(
        35,
        "externalDocs",
        Message(&[field(1, "description", Text), field(2, "url", Text)]),
    ),
    field(36, "example", Json),
    field(37, "nullable", Flag),
    field(38, "x-kubernetes-preserve-unknown-fields", Bool),
    field(39, "x-kubernetes-embedded-resource", Flag),
    field(40, "x-kubernetes-int-or-string", Flag),
    field(41, "x-kubernetes-list-map-keys", Texts),
    field(42, "x-kubernetes-list-type", TextKept),
    field(43, "x-kubernetes-map-type", TextKept),
    field(44, "x-kubernetes-validations", Messages(RULE)),
];

static OR_BOOL: &[Field] = &[
    field(2, "schema", Message(&SCHEMA)),
    field(1, "allows", Bool),
];

static OR_ARRAY: &[Field] = &[
    field(1, "schema", Message(&SCHEMA)),
    field(2, "schemas", Messages(&SCHEMA)),
];

const RULE: &[Field] = &[
    field(1, "rule", Text),
    field(2, "message", Text),
    field(3, "messageExpression", Text),
    field(4, "reason", TextKept),
    field(5, "fieldPath", Text),
    field(6, "optionalOldSelf", Bool),
];
