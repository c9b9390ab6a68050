//! Observe: everything that the decision about one Deployment looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_types::Deployment;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, ResourceExt};
use plan::deployment::{Input, References, referenced};
use plan::route::{ObjectKey, Resolution};
use swarm::Observation;

use crate::context::{Context, Notes, Scope, observed};
use crate::error::Error;

/// What was gathered; [`Seen::input`] lends it to the decision.
pub(crate) struct Seen {
    key: ObjectKey,
    resolution: Arc<Resolution>,
    references: References,
    observation: Observation,
    notes: Notes,
    now: Timestamp,
}

/// Gathers it; `None` while the newest observation has not seen our last act on the object.
pub(crate) async fn observe(
    object: &Deployment,
    scope: &Scope<Deployment>,
) -> Result<Option<Seen>, Error> {
    let context = &scope.context;
    let uid = object.uid().ok_or(Error::Incomplete("uid"))?;
    let Some(observation) = scope.observation(&uid) else {
        return Ok(None);
    };
    Ok(Some(Seen {
        key: ObjectKey {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        },
        resolution: context.resolver.resolution(),
        references: references(object, context).await?,
        observation,
        notes: context.notes(&uid),
        now: context.now(),
    }))
}

impl Seen {
    /// The decision's view of it.
    pub fn input<'a>(&'a self, deployment: &'a Deployment, context: &'a Context) -> Input<'a> {
        Input {
            cluster: &context.settings.cluster,
            deployment,
            routes: self
                .resolution
                .by_deployment
                .get(&self.key)
                .map_or(&[], Vec::as_slice),
            references: &self.references,
            observed: observed(&self.observation),
            log_tail: self.notes.log_tail.as_ref(),
            refusal: self.notes.refusal.as_ref(),
            now: self.now,
        }
    }

    /// Takes up what acting has learnt since.
    pub fn renew_notes(&mut self, notes: Notes) {
        self.notes = notes;
    }
}

/// Reads the Secrets and ConfigMaps that the spec names. They are read when needed and not kept:
/// most Secrets of a cluster are none of our business.
async fn references(object: &Deployment, context: &Context) -> Result<References, Error> {
    let (secrets, config_maps) = referenced(&object.spec);
    let namespace = object.namespace().unwrap_or_default();
    let mut found = References::default();
    if !secrets.is_empty() {
        let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
        for name in secrets {
            if let Some(secret) = api
                .get_opt(&name)
                .await
                .map_err(Error::api("read a Secret"))?
            {
                let data = secret.data.unwrap_or_default();
                found.secrets.insert(
                    name,
                    data.into_iter()
                        .map(|(key, value)| (key, value.0))
                        .collect(),
                );
            }
        }
    }
    if !config_maps.is_empty() {
        let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
        for name in config_maps {
            if let Some(map) = api
                .get_opt(&name)
                .await
                .map_err(Error::api("read a ConfigMap"))?
            {
                found.config_maps.insert(
                    name,
                    map.data
                        .unwrap_or_default()
                        .into_iter()
                        .collect::<BTreeMap<_, _>>(),
                );
            }
        }
    }
    Ok(found)
}
