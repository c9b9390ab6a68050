//! A service of ours that somebody took our labels off.
//!
//! Snapshots show only what carries our cluster uid, so such a service looks gone while its name
//! is taken. It is taken back only where something else than its name says that it is this
//! object's, and nobody else's cluster uid is on it (F61).

use api_types::{Deployment, labels};

use crate::cluster::ClusterConfig;
use crate::model::{Service, Step};

/// The step that makes `found` this object's again; `None` where it is not, or still is.
pub fn adopt(cluster: &ClusterConfig, deployment: &Deployment, found: &Service) -> Option<Step> {
    let meta = &deployment.metadata;
    let (namespace, name, uid) = (
        meta.namespace.as_ref()?,
        meta.name.as_ref()?,
        meta.uid.as_ref()?,
    );
    let live = &found.spec;
    let cluster_uid = live.labels.get(labels::CLUSTER_UID);
    let carries_uid = live.labels.get(labels::DEPLOYMENT_UID) == Some(uid);
    let complete = cluster_uid == Some(&cluster.uid) && carries_uid;
    let of_another = cluster_uid.is_some_and(|other| *other != cluster.uid)
        || live.name != cluster.service_name(namespace, name);
    if complete || of_another {
        return None;
    }
    let reported = deployment
        .status
        .as_ref()
        .and_then(|status| status.service.as_ref());
    let is_known = reported.is_some_and(|service| service.id == found.id);
    let containers = &live.task.container.labels;
    let runs_ours = containers.get(labels::CONTAINER_DEPLOYMENT_UID) == Some(uid);
    if !(carries_uid || is_known || runs_ours) {
        return None;
    }
    let mut spec = live.clone();
    spec.labels.extend([
        (labels::DEPLOYMENT.to_owned(), "true".to_owned()),
        (
            labels::DEPLOYMENT_ID.to_owned(),
            format!("{namespace}/{name}"),
        ),
        (labels::DEPLOYMENT_UID.to_owned(), uid.clone()),
        (labels::CLUSTER_UID.to_owned(), cluster.uid.clone()),
    ]);
    Some(Step::AdoptService {
        id: found.id.clone(),
        version: found.version,
        spec: Box::new(spec),
    })
}
