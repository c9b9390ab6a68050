//! The kinds that are served without a definition, and what is particular about our own.

pub(crate) mod account;
mod config;
pub(crate) mod crd;
pub(crate) mod event;
mod keyed;
mod lease;
mod limit_range;
pub(crate) mod namespace;
mod pod;
mod quota;
mod rbac;
pub(crate) mod review;
mod secret;

use std::sync::Arc;

use api_types::labels;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenReview};
use k8s_openapi::api::authorization::v1::{
    LocalSubjectAccessReview, SelfSubjectAccessReview, SelfSubjectRulesReview, SubjectAccessReview,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, LimitRange, Namespace, ResourceQuota, Secret, ServiceAccount,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::JsonSchema;

use crate::columns;
use crate::registry::{
    Backing, CrdError, CustomStrategy, PlainStrategy, ResourceDef, Strategy, Subresources, Verb,
    from_crd, storage_name,
};
use crate::schema::{Schema, SchemaError, core};
use crate::server::ServerError;

/// Names of one kind.
struct Names {
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
}

impl Names {
    const fn core(
        plural: &'static str,
        kind: &'static str,
        short: &'static [&'static str],
    ) -> Self {
        Self {
            group: "",
            plural,
            kind,
            short,
            namespaced: true,
        }
    }

    const fn review(group: &'static str, plural: &'static str, kind: &'static str) -> Self {
        Self {
            group,
            plural,
            kind,
            short: &[],
            namespaced: false,
        }
    }
}

/// All built-in kinds.
///
/// # Errors
/// A schema that does not compile: a bug.
pub(crate) fn definitions() -> Result<Vec<ResourceDef>, ServerError> {
    const AUTHORIZATION: &str = "authorization.k8s.io";
    const AUTHENTICATION: &str = "authentication.k8s.io";
    let lease = Names {
        group: "coordination.k8s.io",
        ..Names::core("leases", "Lease", &[])
    };
    let account = Names::core("serviceaccounts", "ServiceAccount", &["sa"]);
    let mut definitions = vec![
        namespace::definition(stored::<Namespace>(
            Names {
                namespaced: false,
                ..Names::core("namespaces", "Namespace", &["ns"])
            },
            namespace::NamespaceStrategy,
        )?),
        secret::definition(stored::<Secret>(
            Names::core("secrets", "Secret", &[]),
            secret::SecretStrategy,
        )?),
        stored::<ConfigMap>(
            Names::core("configmaps", "ConfigMap", &["cm"]),
            config::ConfigMapStrategy,
        )?,
        stored::<LimitRange>(
            Names::core("limitranges", "LimitRange", &["limits"]),
            limit_range::LimitRangeStrategy,
        )?,
        quota::definition(stored::<ResourceQuota>(
            Names::core("resourcequotas", "ResourceQuota", &["quota"]),
            quota::QuotaStrategy,
        )?),
        ResourceDef {
            subresources: Subresources {
                token: true,
                ..Subresources::default()
            },
            ..stored::<ServiceAccount>(account, account::AccountStrategy)?
        },
        stored::<Lease>(lease, lease::LeaseStrategy)?,
        review::<SelfSubjectAccessReview>(Names::review(
            AUTHORIZATION,
            "selfsubjectaccessreviews",
            "SelfSubjectAccessReview",
        ))?,
        review::<SelfSubjectRulesReview>(Names::review(
            AUTHORIZATION,
            "selfsubjectrulesreviews",
            "SelfSubjectRulesReview",
        ))?,
        review::<SubjectAccessReview>(Names::review(
            AUTHORIZATION,
            "subjectaccessreviews",
            "SubjectAccessReview",
        ))?,
        review::<LocalSubjectAccessReview>(Names {
            namespaced: true,
            ..Names::review(
                AUTHORIZATION,
                "localsubjectaccessreviews",
                "LocalSubjectAccessReview",
            )
        })?,
        review::<TokenReview>(Names::review(AUTHENTICATION, "tokenreviews", "TokenReview"))?,
        review::<SelfSubjectReview>(Names::review(
            AUTHENTICATION,
            "selfsubjectreviews",
            "SelfSubjectReview",
        ))?,
    ];
    definitions.push(pod::definition()?);
    definitions.extend(event::definitions()?);
    definitions.extend(rbac::definitions()?);
    Ok(definitions)
}

/// A kind of ours or of a user's definition.
///
/// # Errors
/// See [`CrdError`].
pub(crate) fn custom(crd: &CustomResourceDefinition) -> Result<Vec<ResourceDef>, CrdError> {
    let ours = crd.spec.group == api_types::GROUP;
    let runs_tasks = ours && crd.spec.names.kind == "Deployment";
    from_crd(
        crd,
        CustomStrategy {
            finalizer: runs_tasks.then(|| labels::FINALIZER.to_owned()),
            initial_status: ours,
            runs_tasks,
        },
    )
}

/// A kind that is stored, and has the form of typed fields.
fn stored<T: JsonSchema>(
    names: Names,
    strategy: impl Strategy + 'static,
) -> Result<ResourceDef, ServerError> {
    stored_as(names, strategy, core::typed::<T>())
}

/// A kind that is stored with this schema.
fn stored_as(
    names: Names,
    strategy: impl Strategy + 'static,
    schema: Result<Schema, SchemaError>,
) -> Result<ResourceDef, ServerError> {
    let schema = schema.map_err(|error| ServerError::Builtin {
        kind: names.kind,
        message: error.to_string(),
    })?;
    Ok(ResourceDef {
        group: names.group.into(),
        version: "v1".into(),
        plural: names.plural.into(),
        singular: names.kind.to_lowercase().into(),
        kind: names.kind.into(),
        list_kind: format!("{}List", names.kind).into(),
        short_names: names.short.iter().map(|&name| name.to_owned()).collect(),
        categories: Vec::new(),
        namespaced: names.namespaced,
        verbs: Verb::ALL,
        subresources: Subresources::default(),
        schema: Arc::new(schema),
        custom: false,
        columns: columns::builtin(names.group, names.kind),
        selectable_fields: Vec::new(),
        strategy: Arc::new(strategy),
        storage: storage_name(names.group, names.plural),
        conversion: None,
        backing: Backing::Stored,
        deprecation: None,
    })
}

/// What is posted to the subresource `token` of an account.
///
/// # Errors
/// A schema that does not compile: a bug.
pub(crate) fn token_request() -> Result<ResourceDef, ServerError> {
    review::<TokenRequest>(Names::review(
        "authentication.k8s.io",
        "tokenrequests",
        "TokenRequest",
    ))
}

/// A kind that only answers.
fn review<T: JsonSchema>(names: Names) -> Result<ResourceDef, ServerError> {
    let def = stored::<T>(names, PlainStrategy { generation: false })?;
    Ok(ResourceDef {
        verbs: Verb::CREATE_ONLY,
        backing: Backing::Review,
        ..def
    })
}
