#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use api_types::Route;
use api_types::conditions as c;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Input, Report, rows, status};
use crate::Observed;
use crate::testing::{World, route};

fn world() -> World {
    World::new(
        json!({"image": "web:1", "ports": [{"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}),
    )
}

fn to_web(name: &str, age: i64, host: &str, path: &str) -> Route {
    route(
        name,
        age,
        json!({"hostnames": [host], "rules": [{"matches": [{"path": {"type": "Prefix", "value": path}}],
        "backendRefs": [{"name": "web", "port": 8080}]}]}),
    )
}

fn report(world: &World, name: &str) -> Report {
    let resolution = world.resolution();
    let route = world
        .routes
        .iter()
        .find(|route| route.metadata.name.as_deref() == Some(name))
        .unwrap();
    status(&Input {
        cluster: &world.cluster,
        route,
        resolution: &resolution,
        observed: Observed::Known(&world.snapshot),
        now: world.now,
    })
}

fn condition(report: &Report, type_: &str) -> (String, String, String) {
    let condition = crate::conditions::find(&report.status.conditions, type_)
        .unwrap()
        .clone();
    (condition.status, condition.reason, condition.message)
}

fn labels(world: &World) -> BTreeMap<String, String> {
    world
        .resolution()
        .attached("shop", "web")
        .iter()
        .flat_map(|route| route.labels.clone())
        .collect()
}

#[test]
fn a_rule_with_everything_is_written_in_traefiks_words() {
    let mut world = world();
    world.routes.push(route("full", 0, json!({
        "hostnames": ["shop.example.com", "*.shop.example.com"], "entryPoints": ["web", "websecure"], "priority": 7,
        "tls": {"certificateResolver": "letsencrypt"},
        "rules": [{"name": "api", "matches": [{"path": {"type": "Prefix", "value": "/api"}, "method": "GET"}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}},
                        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-A", "value": "b"}]}}],
            "backendRefs": [{"name": "web", "port": 8080}]}]
    })));
    insta::assert_json_snapshot!("full_route", labels(&world));
    let rows: Vec<Value> = rows(&world.resolution())
        .into_iter()
        .map(|row| json!({row.key: row.columns}))
        .collect();
    insta::assert_json_snapshot!("full_rows", rows);
}

#[test]
fn names_do_not_depend_on_positions_and_hold_no_dots() {
    // case F8
    let rule = |path: &str| json!({"matches": [{"path": {"type": "Prefix", "value": path}}], "backendRefs": [{"name": "web", "port": 8080}]});
    let with = |rules: Vec<Value>| {
        let mut world = world();
        world.routes.push(route(
            "my.route",
            0,
            json!({"hostnames": ["a.example.com"], "rules": rules}),
        ));
        labels(&world)
    };
    let one = with(vec![rule("/a"), rule("/b")]);
    assert_eq!(one, with(vec![rule("/b"), rule("/a")]));
    let more = with(vec![rule("/0"), rule("/b"), rule("/a")]);
    assert!(one.iter().all(|(key, value)| more.get(key) == Some(value)));
    for key in one.keys() {
        let name = key.split('.').nth(3).unwrap();
        assert!(
            key.starts_with("traefik.http.")
                && name.starts_with("shop-my-route-")
                && name.len() < 120,
            "{key}"
        );
    }
}

#[test]
fn long_names_are_cut_and_stay_different() {
    let mut world = world();
    for end in ["a", "b"] {
        let mut long = to_web(
            &format!("{}{end}", "r".repeat(250)),
            0,
            &format!("{end}.example.com"),
            "/",
        );
        long.spec.rules[0].name = Some("n".repeat(63));
        world.routes.push(long);
    }
    let rules: Vec<String> = labels(&world)
        .into_keys()
        .filter(|key| key.ends_with(".rule"))
        .collect();
    assert!(
        rules.len() == 2 && rules.iter().all(|key| key.len() < 140),
        "{rules:?}"
    );
}

#[test]
fn the_oldest_wins_and_the_loser_is_told() {
    // cases F13, T20
    let mut world = world();
    world.routes = vec![
        to_web("young", 10, "a.example.com", "/x/"),
        to_web("old", 5, "A.example.com", "/x"),
        to_web("other", 20, "a.example.com", "/x/y"),
    ];
    let young = report(&world, "young");
    assert_eq!(
        condition(&young, c::ACCEPTED),
        (
            "False".into(),
            "Conflict".into(),
            "a.example.com/x belongs to Route shop/old".into()
        )
    );
    assert_eq!(condition(&young, c::READY).1, "Conflict");
    assert_eq!(condition(&young, c::STALLED).0, "True");
    assert_eq!(young.status.hosts[0].winner.as_ref().unwrap().name, "old");
    assert!(young.status.urls.is_empty());
    assert_eq!(condition(&report(&world, "old"), c::ACCEPTED).0, "True");
    assert_eq!(
        condition(&report(&world, "other"), c::ACCEPTED).0,
        "True",
        "a longer path is no conflict"
    );
    // Same age: by name. Once the winner is gone the loser has it.
    world.routes[1].metadata.creation_timestamp =
        world.routes[0].metadata.creation_timestamp.clone();
    assert_eq!(condition(&report(&world, "young"), c::ACCEPTED).0, "False");
    world.routes.remove(1);
    assert_eq!(condition(&report(&world, "young"), c::ACCEPTED).0, "True");
}

#[test]
fn some_hosts_may_be_lost_and_others_won() {
    let mut world = world();
    let two = json!({"hostnames": ["a.example.com", "b.example.com"], "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}]});
    world.routes = vec![to_web("old", 1, "a.example.com", "/"), route("two", 2, two)];
    let report = report(&world, "two");
    assert_eq!(condition(&report, c::ACCEPTED).1, "PartiallyAccepted");
    assert_eq!(condition(&report, c::READY).0, "False");
    assert_eq!(report.status.urls, ["http://b.example.com/"]);
    assert_eq!(
        report
            .status
            .hosts
            .iter()
            .map(|host| host.accepted)
            .collect::<Vec<_>>(),
        [false, true]
    );
    // The same request twice in one Route: the first rule has it.
    let twice = json!({"hostnames": ["c.example.com"], "rules": [{"backendRefs": [{"name": "web", "port": 8080}]}, {"backendRefs": [{"name": "web", "port": 8080}]}]});
    world.routes = vec![route("twice", 2, twice)];
    assert_eq!(
        super::tests::report(&world, "twice")
            .status
            .hosts
            .iter()
            .map(|host| host.accepted)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[test]
fn plain_and_encrypted_requests_are_two_things() {
    let mut world = world();
    let mut https = to_web("https", 1, "a.example.com", "/");
    https.spec.tls = Some(api_types::route::RouteTls::default());
    world.routes = vec![https, to_web("http", 2, "a.example.com", "/")];
    assert_eq!(condition(&report(&world, "http"), c::ACCEPTED).0, "True");
    assert_eq!(
        report(&world, "https").status.urls,
        ["https://a.example.com/"]
    );
    let keys: std::collections::BTreeSet<String> = rows(&world.resolution())
        .into_iter()
        .map(|row| {
            format!(
                "{} {} {}",
                row.columns["domain"], row.columns["path_prefix"], row.columns["rule"]
            )
        })
        .collect();
    assert_eq!(keys.len(), 2, "the table's key must tell them apart");
}

#[test]
fn what_a_rule_refers_to_must_exist() {
    // case F4
    let mut world = world();
    let to = |name: &str, port: u16| {
        route(
            "r",
            0,
            json!({"hostnames": ["a.example.com"], "rules": [{"backendRefs": [{"name": name, "port": port}]}]}),
        )
    };
    for (name, port, reason, words) in [
        (
            "gone",
            80,
            "BackendNotFound",
            "there is no Deployment shop/gone",
        ),
        (
            "web",
            81,
            "PortNotFound",
            "has no port 81: it lists the ports 8080, 53",
        ),
        ("web", 53, "UnsupportedProtocol", "is not TCP"),
    ] {
        world.routes = vec![to(name, port)];
        let report = report(&world, "r");
        let (value, found, message) = condition(&report, c::RESOLVED_REFS);
        assert!(
            value == "False" && found == reason && message.contains(words),
            "{message}"
        );
        assert_eq!(condition(&report, c::ACCEPTED).0, "True");
        assert_eq!(
            condition(&report, c::READY),
            ("False".into(), reason.into(), message)
        );
        assert!(labels(&world).is_empty());
    }
    let mut bad = to("web", 8080);
    bad.spec.rules[0].filters = serde_json::from_value(
        json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["a.b"]}}]),
    )
    .unwrap();
    world.routes = vec![bad];
    assert_eq!(
        condition(&report(&world, "r"), c::ACCEPTED).1,
        "InvalidSpec"
    );
    assert!(
        labels(&world).is_empty(),
        "one bad label would make Traefik drop the whole service"
    );
}

#[test]
fn programmed_means_written_and_time_to_read() {
    // T20
    let mut world = world();
    world.converge();
    world.routes.push(to_web("r", 0, "a.example.com", "/"));
    let store = |world: &mut World| {
        let report = report(world, "r");
        world.routes[0].status = Some(report.status.clone());
        report
    };
    assert_eq!(condition(&store(&mut world), c::PROGRAMMED).0, "Unknown");
    world.converge();
    let seen = store(&mut world);
    assert_eq!(condition(&seen, c::PROGRAMMED).0, "False");
    assert_eq!(seen.recheck, Some(Duration::from_secs(15)));
    world.pass(10);
    assert_eq!(store(&mut world).recheck, Some(Duration::from_secs(5)));
    world.pass(5);
    let done = store(&mut world);
    assert_eq!(condition(&done, c::PROGRAMMED).0, "True");
    assert_eq!(condition(&done, c::READY).0, "True");
    assert_eq!(done.status.urls, ["http://a.example.com/"]);
    world.pass(1000);
    assert_eq!(store(&mut world), done, "T14");
    // A change starts over, even when its labels are there before anybody looked.
    world.routes[0].spec.hostnames = vec!["b.example.com".into()];
    world.routes[0].metadata.generation = Some(2);
    world.converge();
    assert_eq!(condition(&store(&mut world), c::PROGRAMMED).0, "False");
    // Somebody took the labels away.
    world.tamper(|service| {
        service
            .spec
            .labels
            .retain(|key, _| !key.starts_with("traefik.http"))
    });
    assert_eq!(condition(&store(&mut world), c::PROGRAMMED).0, "Unknown");
}

proptest! {
    /// The order of the input does not matter, and every request has exactly one router.
    #[test]
    fn conflicts_have_one_winner(wishes in proptest::collection::vec((0_i64..3, 0_usize..3, 0_usize..3), 1..12), rotation in 0_usize..12) {
        let mut world = world();
        let hosts = ["a.example.com", "b.example.com", "*.example.com"];
        let paths = ["/", "/x", "/x/y"];
        for (number, (age, host, path)) in wishes.iter().enumerate() {
            world.routes.push(to_web(&format!("r{number}"), *age, hosts[*host], paths[*path]));
        }
        let resolution = world.resolution();
        let length = world.routes.len();
        world.routes.rotate_left(rotation % length);
        prop_assert_eq!(&world.resolution(), &resolution);
        let wanted: std::collections::BTreeSet<_> = wishes.iter().map(|(_, host, path)| (*host, *path)).collect();
        let rules: Vec<String> = labels(&world).into_iter().filter(|(key, _)| key.ends_with(".rule")).map(|(_, rule)| rule).collect();
        prop_assert_eq!(rules.len(), wanted.len());
        prop_assert_eq!(rows(&resolution).len(), wanted.len());
    }
}
