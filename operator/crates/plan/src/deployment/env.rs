//! Environment of the container, from values, Secrets and ConfigMaps, with Kubernetes' precedence:
//! `env` over `envFrom`, later items over earlier ones.

use std::collections::{BTreeMap, BTreeSet};

use api_types::DeploymentSpec;
use api_types::conditions::reason;
use api_types::deployment::{EnvFromSource, EnvVar, FieldPath};

use super::{Blocked, Input, References};

/// The environment, and which of it may be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Environment {
    pub values: BTreeMap<String, String>,
    /// Names whose value is written in the spec or in a ConfigMap.
    pub shown: BTreeSet<String>,
}

impl Environment {
    fn set(&mut self, name: String, value: &str, shown: bool) {
        if shown {
            self.shown.insert(name.clone());
        } else {
            self.shown.remove(&name);
        }
        self.values.insert(name, literal(value));
    }
}

/// A value as the Swarm is to be told: it expands Go templates, and ours are meant literally.
pub(crate) fn literal(value: &str) -> String {
    value.replace("{{", "{{\"{{\"}}")
}

/// Names of the Secrets and of the ConfigMaps that a spec refers to.
pub fn referenced(spec: &DeploymentSpec) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut secrets, mut config_maps) = (BTreeSet::new(), BTreeSet::new());
    for source in &spec.env_from {
        secrets.extend(
            source
                .secret_ref
                .iter()
                .map(|reference| reference.name.clone()),
        );
        config_maps.extend(
            source
                .config_map_ref
                .iter()
                .map(|reference| reference.name.clone()),
        );
    }
    for source in spec
        .env
        .iter()
        .filter_map(|variable| variable.value_from.as_ref())
    {
        secrets.extend(
            source
                .secret_key_ref
                .iter()
                .map(|reference| reference.name.clone()),
        );
        config_maps.extend(
            source
                .config_map_key_ref
                .iter()
                .map(|reference| reference.name.clone()),
        );
    }
    (secrets, config_maps)
}

/// The environment of the container, or the first reference that is missing.
pub(super) fn environment(input: &Input<'_>) -> Result<Environment, Blocked> {
    let mut environment = Environment::default();
    for source in &input.deployment.spec.env_from {
        take_all(&mut environment, source, input.references)?;
    }
    for variable in &input.deployment.spec.env {
        take_one(&mut environment, variable, input)?;
    }
    Ok(environment)
}

fn take_all(
    environment: &mut Environment,
    source: &EnvFromSource,
    references: &References,
) -> Result<(), Blocked> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if let Some(reference) = &source.secret_ref {
        match references.secrets.get(&reference.name) {
            Some(data) => {
                for (key, value) in data {
                    environment.set(
                        format!("{prefix}{key}"),
                        text(&reference.name, key, value)?,
                        false,
                    );
                }
            }
            None if reference.optional == Some(true) => {}
            None => {
                return Err(missing_secret(format!(
                    "Secret {:?} of envFrom does not exist",
                    reference.name
                )));
            }
        }
    }
    if let Some(reference) = &source.config_map_ref {
        match references.config_maps.get(&reference.name) {
            Some(data) => {
                for (key, value) in data {
                    environment.set(format!("{prefix}{key}"), value, true);
                }
            }
            None if reference.optional == Some(true) => {}
            None => {
                return Err(missing_config_map(format!(
                    "ConfigMap {:?} of envFrom does not exist",
                    reference.name
                )));
            }
        }
    }
    Ok(())
}

fn take_one(
    environment: &mut Environment,
    variable: &EnvVar,
    input: &Input<'_>,
) -> Result<(), Blocked> {
    let name = || variable.name.clone();
    let Some(source) = &variable.value_from else {
        environment.set(name(), variable.value.as_deref().unwrap_or_default(), true);
        return Ok(());
    };
    if let Some(reference) = &source.secret_key_ref {
        let data = input.references.secrets.get(&reference.name);
        match data.and_then(|data| data.get(&reference.key)) {
            Some(value) => {
                environment.set(name(), text(&reference.name, &reference.key, value)?, false)
            }
            None if reference.optional == Some(true) => {}
            None => {
                let what = absent("Secret", &reference.name, &reference.key, data.is_some());
                return Err(missing_secret(format!("env {}: {what}", variable.name)));
            }
        }
    } else if let Some(reference) = &source.config_map_key_ref {
        let data = input.references.config_maps.get(&reference.name);
        match data.and_then(|data| data.get(&reference.key)) {
            Some(value) => environment.set(name(), value, true),
            None if reference.optional == Some(true) => {}
            None => {
                let what = absent("ConfigMap", &reference.name, &reference.key, data.is_some());
                return Err(missing_config_map(format!("env {}: {what}", variable.name)));
            }
        }
    } else if let Some(reference) = &source.field_ref {
        let value = match reference.field_path {
            FieldPath::Name => input.name(),
            FieldPath::Namespace => input.namespace(),
            FieldPath::Uid => input.uid(),
        };
        environment.set(name(), value, true);
    }
    Ok(())
}

fn text<'a>(secret: &str, key: &str, value: &'a [u8]) -> Result<&'a str, Blocked> {
    std::str::from_utf8(value).ok().filter(|text| !text.contains('\0')).ok_or_else(|| Blocked {
        reason: reason::INVALID_SPEC,
        message: format!("key {key:?} of Secret {secret:?} is not text, and an environment variable can only hold text"),
    })
}

fn absent(kind: &str, name: &str, key: &str, exists: bool) -> String {
    if exists {
        format!("{kind} {name:?} has no key {key:?}")
    } else {
        format!("{kind} {name:?} does not exist")
    }
}

fn missing_secret(message: String) -> Blocked {
    Blocked {
        reason: reason::SECRET_NOT_FOUND,
        message,
    }
}

fn missing_config_map(message: String) -> Blocked {
    Blocked {
        reason: reason::CONFIG_MAP_NOT_FOUND,
        message,
    }
}
