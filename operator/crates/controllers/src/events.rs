//! Kubernetes Events, deduplicated by content.
//!
//! The name of an Event is a function of what it says about whom, so that the same thing said
//! twice, by this process or the next, is one Event with a count. (kube's own `Recorder` leaves
//! the note out of its key and names by time: two drifted fields would become one Event.)
//!
//! An Event that cannot be written is logged and forgotten: it must never fail a reconcile.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use plan::PlannedEvent;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::error::Spoken;

/// Name under which our controllers report.
const COMPONENT: &str = "obiente-operator";
/// Longest message of an Event in bytes (`core/v1` validation).
const LONGEST_MESSAGE: usize = 1024;
/// Namespace of Events about cluster-scoped objects, as Kubernetes has it.
const CLUSTER_NAMESPACE: &str = "default";
/// Events whose count is remembered; beyond it the oldest knowledge is dropped and the count is
/// read back from the server.
const REMEMBERED: usize = 4096;

/// Writes Events.
pub(crate) struct Events {
    client: Client,
    counts: Mutex<HashMap<String, i32>>,
}

impl Events {
    /// Writes through this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            counts: Mutex::default(),
        }
    }

    /// Says all of it, in order.
    pub async fn publish_all(&self, about: &ObjectReference, events: &[PlannedEvent]) {
        for event in events {
            self.publish(about, event).await;
        }
    }

    /// Says it, or counts one more of it.
    async fn publish(&self, about: &ObjectReference, said: &PlannedEvent) {
        let name = name_of(about, said);
        let Err(error) = self.write(&name, about, said).await else {
            return;
        };
        let error = Spoken(&error);
        if error.in_terminating_namespace() {
            // Whoever deletes a namespace does not wait for news from it.
            tracing::debug!(event = %name, reason = %said.reason, "an Event was not written: {error}");
        } else {
            tracing::warn!(event = %name, reason = %said.reason, "an Event was not written: {error}");
        }
    }

    async fn write(
        &self,
        name: &str,
        about: &ObjectReference,
        said: &PlannedEvent,
    ) -> kube::Result<()> {
        let namespace = about.namespace.as_deref().unwrap_or(CLUSTER_NAMESPACE);
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let known = self.counts.lock().get(name).copied();
        if known.is_none() {
            match api
                .create(&PostParams::default(), &event(name, namespace, about, said))
                .await
            {
                Ok(_) => {
                    self.remember(name, 1);
                    return Ok(());
                }
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(error),
            }
        }
        let count = match known {
            Some(count) => count,
            None => api.get(name).await?.count.unwrap_or(1),
        };
        let more = json!({"count": count + 1, "lastTimestamp": Time(Timestamp::now())});
        match api
            .patch(name, &PatchParams::default(), &Patch::Merge(more))
            .await
        {
            Ok(_) => self.remember(name, count + 1),
            // It outlived its time to live: say it anew the next time.
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                self.counts.lock().remove(name);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn remember(&self, name: &str, count: i32) {
        let mut counts = self.counts.lock();
        if counts.len() >= REMEMBERED {
            counts.clear();
        }
        counts.insert(name.to_owned(), count);
    }
}

fn name_of(about: &ObjectReference, said: &PlannedEvent) -> String {
    let mut hash = Sha256::new();
    for part in [
        about.uid.as_deref().unwrap_or_default(),
        &said.reason,
        &said.message,
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Names are at most 253 characters, of which the hash takes 17.
    let object: String = about
        .name
        .as_deref()
        .unwrap_or_default()
        .chars()
        .take(230)
        .collect();
    format!("{object}.{hash}")
}

/// As much of a text as an Event takes.
fn message(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST_MESSAGE)].to_owned()
}

fn event(name: &str, namespace: &str, about: &ObjectReference, said: &PlannedEvent) -> Event {
    let now = Timestamp::now();
    Event {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: about.clone(),
        type_: Some(if said.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(said.reason.clone()),
        message: Some(message(&said.message)),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        event_time: Some(MicroTime(now)),
        action: Some(said.reason.clone()),
        reporting_component: Some(COMPONENT.to_owned()),
        reporting_instance: Some(COMPONENT.to_owned()),
        source: Some(EventSource {
            component: Some(COMPONENT.to_owned()),
            host: None,
        }),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_said_twice_has_one_name_and_other_things_others() {
        let about = |uid: &str| ObjectReference {
            name: Some("web".into()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        };
        let said = |message: &str| PlannedEvent {
            warning: false,
            reason: "DriftRepaired".into(),
            message: message.into(),
        };
        let first = name_of(&about("1"), &said("replicas 5 -> 3"));
        assert_eq!(first, name_of(&about("1"), &said("replicas 5 -> 3")));
        assert_ne!(first, name_of(&about("1"), &said("image a -> b")));
        assert_ne!(first, name_of(&about("2"), &said("replicas 5 -> 3")));
    }
}
