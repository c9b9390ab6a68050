use api_types::deployment::ServiceReference;
use api_types::labels;

use super::world;
use crate::deployment::adopt;
use crate::model::{Service, Step};
use crate::testing::World;

/// A converged Deployment, and what `docker service update --label-rm` left of its service.
fn stripped() -> (World, Service) {
    let mut world = world();
    world.converge();
    let mut service = world.service().clone();
    service
        .spec
        .labels
        .retain(|key, _| !key.starts_with(labels::PREFIX));
    (world, service)
}

fn is_adopted(world: &World, service: &Service) -> bool {
    adopt(&world.cluster, &world.deployment, service).is_some()
}

#[test]
fn a_service_without_labels_is_taken_back_where_something_says_that_it_is_ours() {
    // case F61
    let (mut world, mut service) = stripped();
    let Some(Step::AdoptService { id, version, spec }) =
        adopt(&world.cluster, &world.deployment, &service)
    else {
        panic!("its containers carry our uid");
    };
    assert_eq!((&id, version), (&service.id, service.version));
    assert_eq!(spec.task, service.spec.task, "no task is restarted");
    world.snapshot.services = vec![service.clone()];
    world.apply(&[Step::AdoptService { id, version, spec }]);
    world.converge();
    assert_eq!(world.service().id, service.id);

    service.spec.task.container.labels.clear();
    world.deployment.status = None;
    assert!(!is_adopted(&world, &service), "only the name is ours");
    let mut by_label = service.clone();
    by_label.spec.labels.insert(
        labels::DEPLOYMENT_UID.into(),
        world.deployment.metadata.uid.clone().unwrap(),
    );
    assert!(is_adopted(&world, &by_label));
    let reported = ServiceReference {
        id: service.id.clone(),
        name: service.spec.name.clone(),
    };
    world.deployment.status.get_or_insert_default().service = Some(reported);
    assert!(is_adopted(&world, &service));
}

#[test]
fn a_service_of_somebody_else_is_never_taken() {
    // case F61
    let (world, service) = stripped();
    let mut theirs = service.clone();
    theirs
        .spec
        .labels
        .insert(labels::CLUSTER_UID.into(), "another".into());
    assert!(!is_adopted(&world, &theirs));
    let mut renamed = service;
    renamed.spec.name.push('x');
    assert!(!is_adopted(&world, &renamed));
    assert!(!is_adopted(&world, world.service()), "it is ours already");
}
