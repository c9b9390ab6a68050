//! Random interleavings of writes, watches, lists in pages and compactions, through two servers on
//! one database, as HTTP clients see them: after each event, what a watcher has folded is the state
//! at the revision of that event, whichever server it watches and however it began.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use serde_json::{Value, json};
use store::{WatchEvent, WatchFrom, WatchQuery};

use crate::support::{Api, Events, api_beside_with, api_of, version};

const PATH: &str = "/api/v1/namespaces/default/secrets";

#[derive(Clone, Debug)]
struct Step {
    on: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Creates or replaces; green or not is what selectors tell apart.
    Put {
        name: u8,
        green: bool,
    },
    Patch {
        name: u8,
        green: bool,
    },
    Delete {
        name: u8,
    },
    Watch {
        back: u64,
        green: bool,
    },
    WatchList {
        back: Option<u64>,
        green: bool,
    },
    Read {
        watcher: usize,
        events: usize,
    },
    FirstPage {
        limit: usize,
        green: bool,
    },
    NextPage {
        list: usize,
    },
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        6 => (0..5_u8, any::<bool>()).prop_map(|(name, green)| What::Put { name, green }),
        3 => (0..5_u8, any::<bool>()).prop_map(|(name, green)| What::Patch { name, green }),
        3 => (0..5_u8).prop_map(|name| What::Delete { name }),
        2 => (0..30_u64, any::<bool>()).prop_map(|(back, green)| What::Watch { back, green }),
        2 => (prop::option::of(0..9_u64), any::<bool>()).prop_map(|(back, green)| What::WatchList { back, green }),
        3 => (0..6_usize, 1..6_usize).prop_map(|(watcher, events)| What::Read { watcher, events }),
        2 => (1..3_usize, any::<bool>()).prop_map(|(limit, green)| What::FirstPage { limit, green }),
        4 => (0..3_usize).prop_map(|list| What::NextPage { list }),
        1 => Just(What::Compact),
    ];
    (0..2_usize, what).prop_map(|(on, what)| Step { on, what })
}

/// Name to revision and color.
type State = BTreeMap<String, (u64, bool)>;

struct Watching {
    on: usize,
    events: Events,
    green: bool,
    folded: State,
    revision: u64,
    initial: bool,
}

struct Paged {
    green: bool,
    revision: u64,
    query: String,
    got: State,
}

struct World {
    servers: [Api; 2],
    /// The state at every revision of these objects, and at the first one.
    states: BTreeMap<u64, State>,
    watching: Vec<Watching>,
    lists: Vec<Paged>,
}

fn seen(state: &State, green: bool) -> State {
    let mut state = state.clone();
    state.retain(|_, (_, color)| *color || !green);
    state
}

fn entry(object: &Value) -> (String, (u64, bool)) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    (
        name,
        (
            version(object),
            object["metadata"]["labels"]["color"] == "green",
        ),
    )
}

fn selector(green: bool) -> &'static str {
    if green {
        "&labelSelector=color%3Dgreen"
    } else {
        ""
    }
}

impl World {
    fn now(&self) -> (u64, &State) {
        let (revision, state) = self.states.last_key_value().unwrap();
        (*revision, state)
    }

    /// The state at a revision, which may be that of an object of another kind.
    fn at(&self, revision: u64) -> &State {
        self.states.range(..=revision).next_back().unwrap().1
    }

    fn back(&self, by: u64) -> u64 {
        let first = *self.states.first_key_value().unwrap().0;
        self.now().0.saturating_sub(by).max(first)
    }

    /// An object is of this revision and color now, or gone.
    fn applied(&mut self, name: String, revision: u64, green: Option<bool>) {
        let (newest, state) = self.now();
        // A write that changes nothing is none.
        if revision > newest {
            let mut state = state.clone();
            match green {
                Some(green) => _ = state.insert(name, (revision, green)),
                None => _ = state.remove(&name),
            }
            self.states.insert(revision, state);
        }
    }

    async fn write(&mut self, on: usize, what: &What) {
        let server = &self.servers[on];
        let color = |green| if green { "green" } else { "red" };
        let (code, body) = match what {
            What::Put { name, green } => {
                let name = format!("m-{name}");
                let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"color": color(*green)}}});
                let answer = if self.now().1.contains_key(&name) {
                    server.put(&format!("{PATH}/{name}"), &object).await
                } else {
                    server.post(PATH, &object).await
                };
                (answer.code, answer.body)
            }
            What::Patch { name, green } => {
                let patch = json!({"metadata": {"labels": {"color": color(*green)}}});
                let answer = server.merge(&format!("{PATH}/m-{name}"), &patch).await;
                (answer.code, answer.body)
            }
            What::Delete { name } => {
                let path = format!("{PATH}/m-{name}");
                let answer = server.delete(&path).await;
                if answer.code == 200 {
                    let revision = self.deleted(on).await;
                    self.applied(format!("m-{name}"), revision, None);
                }
                return;
            }
            other => panic!("{other:?}"),
        };
        if code.is_success() {
            let (name, entry) = entry(&body);
            self.applied(name, entry.0, Some(entry.1));
        } else {
            assert_eq!(code, 404, "{body}");
        }
    }

    /// The revision of the delete that was just made, which the answer to it does not tell.
    async fn deleted(&self, on: usize) -> u64 {
        let query = WatchQuery {
            resource: "secrets".into(),
            namespace: None,
            filter: None,
            from: WatchFrom::After(self.now().0),
            bookmarks: false,
        };
        let mut watcher = self.servers[on].store.watch(query).await.unwrap();
        match watcher.next().await {
            Some(WatchEvent::Deleted(object)) => object.revision,
            other => panic!("{other:?}"),
        }
    }

    async fn watch(&mut self, on: usize, green: bool, query: &str, from: Option<u64>) {
        let path = format!(
            "{PATH}?watch=true&allowWatchBookmarks=true{}{query}",
            selector(green)
        );
        let events = self.servers[on].watch(&path).await;
        self.watching.push(Watching {
            on,
            events,
            green,
            folded: from
                .map(|from| seen(self.at(from), green))
                .unwrap_or_default(),
            revision: from.unwrap_or_default(),
            initial: from.is_none(),
        });
    }

    /// Reads one event if there must be one; false at the end of what there is.
    async fn read(&mut self, nth: usize) -> bool {
        let newest = self.now().0;
        let Some(watching) = self.watching.get_mut(nth) else {
            return false;
        };
        if !watching.initial && watching.revision >= newest {
            return false;
        }
        let event = watching.events.next().await.expect("an open watch");
        if event["type"] == "ERROR" {
            assert_eq!(event["object"]["code"], 410, "{event}");
            self.watching.swap_remove(nth);
            return false;
        }
        watching.fold(&event);
        let watching = &self.watching[nth];
        if !watching.initial {
            let wanted = seen(self.at(watching.revision), watching.green);
            assert_eq!(watching.folded, wanted, "after {event}");
        }
        true
    }

    async fn page(&mut self, on: usize, mut list: Paged) {
        let path = format!("{PATH}?{}{}", list.query, selector(list.green));
        let answer = self.servers[on].get(&path).await;
        if answer.code == 410 {
            assert!(list.revision > 0, "{}", answer.body);
            return;
        }
        let page = answer.is(200);
        let first = list.revision == 0;
        list.revision = version(&page);
        assert!(
            first || list.query.contains("continue"),
            "one revision for all pages"
        );
        list.got
            .extend(page["items"].as_array().unwrap().iter().map(entry));
        match page["metadata"]["continue"]
            .as_str()
            .filter(|token| !token.is_empty())
        {
            Some(token) => {
                let (limit, _) = list.query.split_once('&').unwrap_or((&list.query, ""));
                list.query = format!("{limit}&continue={token}");
                self.lists.push(list);
            }
            None => assert_eq!(list.got, seen(self.at(list.revision), list.green)),
        }
    }

    async fn step(&mut self, Step { on, what }: &Step) {
        let on = *on;
        match what {
            What::Put { .. } | What::Patch { .. } | What::Delete { .. } => {
                self.write(on, what).await
            }
            What::Watch { back, green } => {
                let from = self.back(*back);
                self.watch(on, *green, &format!("&resourceVersion={from}"), Some(from))
                    .await;
            }
            What::WatchList { back, green } => {
                let least = back
                    .map(|by| format!("&resourceVersion={}", self.back(by)))
                    .unwrap_or_default();
                let query =
                    format!("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan{least}");
                self.watch(on, *green, &query, None).await;
            }
            What::Read { watcher, events } => {
                for _ in 0..*events {
                    if !self.read(*watcher).await {
                        break;
                    }
                }
            }
            What::FirstPage { limit, green } => {
                let (query, got) = (format!("limit={limit}"), State::new());
                self.page(
                    on,
                    Paged {
                        green: *green,
                        revision: 0,
                        query,
                        got,
                    },
                )
                .await;
            }
            What::NextPage { list } => {
                if *list < self.lists.len() {
                    let list = self.lists.swap_remove(*list);
                    self.page(on, list).await;
                }
            }
            What::Compact => drop(self.servers[on].store.compact().await.unwrap()),
        }
    }

    async fn finish(&mut self) {
        for server in &self.servers {
            let list = server.get(PATH).await.is(200);
            let found: State = list["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(entry)
                .collect();
            assert_eq!(&found, self.now().1);
        }
        while !self.watching.is_empty() {
            while self.read(0).await {}
            if !self.watching.is_empty() {
                self.watching.swap_remove(0);
            }
        }
    }
}

impl Watching {
    fn fold(&mut self, event: &Value) {
        let object = &event["object"];
        let revision = version(object);
        match event["type"].as_str().unwrap() {
            "BOOKMARK" => {
                let ends = object["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true";
                self.initial &= !ends;
            }
            kind => {
                let (name, entry) = entry(object);
                let before = match kind {
                    "DELETED" => self.folded.remove(&name),
                    _ => self.folded.insert(name, entry),
                };
                assert_eq!(before.is_some(), kind != "ADDED", "{event} on {}", self.on);
                assert!(
                    self.initial || revision > self.revision,
                    "{event} after {}",
                    self.revision
                );
            }
        }
        assert!(
            self.initial || revision >= self.revision,
            "{event} after {}",
            self.revision
        );
        self.revision = self.revision.max(revision);
    }
}

#[test]
fn every_client_folds_to_the_state_of_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = Cases {
        cases: 8,
        failure_persistence: None,
        ..Cases::default()
    };
    let result = TestRunner::new(cases).run(&prop::collection::vec(step(), 1..60), |steps| {
        runtime.block_on(async {
            let small = |config: store::Config| store::Config {
                history_events: 12,
                keep_for: Duration::ZERO,
                keep_revisions: 15,
                compact_interval: None,
                bookmark_interval: Duration::ZERO,
                ..config
            };
            let first = api_of(small).await;
            let second = api_beside_with(&first, small).await;
            let list = second.get(PATH).await.is(200);
            assert_eq!(list["items"], json!([]));
            let states = BTreeMap::from([(version(&list), State::new())]);
            let mut world = World {
                servers: [first, second],
                states,
                watching: Vec::new(),
                lists: Vec::new(),
            };
            for step in &steps {
                world.step(step).await;
            }
            world.finish().await;
        });
        Ok(())
    });
    result.unwrap();
}
