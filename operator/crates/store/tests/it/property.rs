//! Random interleavings of writes, watches, lists in pages, compactions and restarts, through two
//! processes on one Postgres: after each of its events, a watcher's folded state is the model's at
//! the revision of that event, whichever process it watches. So all see one order and one state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use store::{
    Config, Consistency, Error, Expect, ListQuery, Store, WatchFrom, WatchQuery, Watcher,
    WriteError,
};

use crate::postgres::database;
use crate::support::*;

/// What is done, and through which process.
#[derive(Clone, Debug)]
struct Step {
    on: usize,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Put {
        name: u8,
        expect: u8,
        n: u64,
    },
    Delete {
        name: u8,
    },
    /// Several writes at once through both processes, so that they share batches.
    Burst {
        names: Vec<u8>,
    },
    Watch {
        back: u64,
        even: bool,
    },
    /// With initial events: of the newest state, or of one that is at least so new.
    WatchList {
        back: Option<u64>,
        even: bool,
    },
    Read {
        watcher: usize,
        events: usize,
    },
    ListExact {
        back: u64,
    },
    FirstPage {
        limit: usize,
        even: bool,
    },
    NextPage {
        list: usize,
    },
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        6 => (0..6_u8, 0..3_u8, 0..100_u64).prop_map(|(name, expect, n)| What::Put { name, expect, n }),
        3 => (0..6_u8).prop_map(|name| What::Delete { name }),
        3 => prop::collection::vec(0..6_u8, 1..12).prop_map(|names| What::Burst { names }),
        2 => (0..40_u64, any::<bool>()).prop_map(|(back, even)| What::Watch { back, even }),
        2 => (prop::option::of(0..9_u64), any::<bool>()).prop_map(|(back, even)| What::WatchList { back, even }),
        3 => (0..8_usize, 1..6_usize).prop_map(|(watcher, events)| What::Read { watcher, events }),
        2 => (0..40_u64).prop_map(|back| What::ListExact { back }),
        2 => (1..4_usize, any::<bool>()).prop_map(|(limit, even)| What::FirstPage { limit, even }),
        4 => (0..3_usize).prop_map(|list| What::NextPage { list }),
        1 => Just(What::Compact),
        1 => Just(What::Reopen),
    ];
    (0..2_usize, what).prop_map(|(on, what)| Step { on, what })
}

type State = BTreeMap<String, (u64, u64)>;

struct Running {
    on: usize,
    watcher: Watcher,
    even: bool,
    folded: Folded,
    initial: bool,
}

/// A list in pages that is being read.
struct Paged {
    query: ListQuery,
    even: bool,
    revision: u64,
    got: State,
}

struct World {
    config: Config,
    stores: [Store; 2],
    /// The state at every revision, by the model.
    states: BTreeMap<u64, State>,
    compacted: u64,
    watchers: Vec<Running>,
    lists: Vec<Paged>,
}

fn filter(only_even: bool) -> Option<store::Filter> {
    only_even.then(|| Arc::new(even) as store::Filter)
}

fn seen(state: &State, only_even: bool) -> State {
    state
        .iter()
        .filter(|(_, (_, n))| !only_even || n % 2 == 0)
        .map(|(k, v)| (k.clone(), *v))
        .collect()
}

impl World {
    fn now(&self) -> (u64, &State) {
        let (revision, state) = self.states.last_key_value().unwrap();
        (*revision, state)
    }

    fn applied(&mut self, name: String, result: (u64, Option<u64>)) {
        let mut state = self.now().1.clone();
        match result {
            (revision, Some(n)) => drop(state.insert(name, (revision, n))),
            (_, None) => drop(state.remove(&name)),
        }
        self.states.insert(result.0, state);
    }

    async fn put(&mut self, on: usize, name: u8, expect: u8, n: u64) {
        let name = format!("t-{name}");
        let there = self.now().1.get(&name).map(|(revision, _)| *revision);
        let (expect, fits) = match (expect, there) {
            (0, there) => (Expect::Absent, there.is_none()),
            (1, there) => (Expect::Exists, there.is_some()),
            (_, Some(revision)) => (Expect::Revision(revision), true),
            (_, None) => (Expect::Revision(1), false),
        };
        match put(&self.stores[on], &name, expect, n).await {
            Ok(object) => {
                assert!(fits);
                self.applied(name, (object.revision, Some(n)));
            }
            Err(WriteError::Conflict { current }) => {
                assert!(!fits);
                assert_eq!(current.map(|object| object.revision), there);
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn burst(&mut self, names: &[u8]) {
        let writes = names.iter().zip(0_u64..).map(|(name, n)| {
            let (store, name) = (&self.stores[n as usize % 2], format!("t-{name}"));
            async move {
                let result = match put(store, &name, Expect::Exists, n).await {
                    Err(WriteError::Conflict { .. }) => put(store, &name, Expect::Absent, n).await,
                    result => result,
                };
                Some((result.ok()?.revision, name, n))
            }
        });
        let mut done: Vec<_> = futures::future::join_all(writes)
            .await
            .into_iter()
            .flatten()
            .collect();
        done.sort();
        for (revision, name, n) in done {
            assert_eq!(revision, self.now().0 + 1, "no hole");
            self.applied(name, (revision, Some(n)));
        }
    }

    async fn watch(&mut self, on: usize, from: WatchFrom, only_even: bool) {
        let query = WatchQuery {
            filter: filter(only_even),
            bookmarks: true,
            ..watching(from)
        };
        let folded = match from {
            WatchFrom::After(revision) => Folded {
                objects: seen(&self.states[&revision], only_even),
                revision,
            },
            _ => Folded::default(),
        };
        match self.stores[on].watch(query).await {
            Ok(watcher) => {
                let initial = !matches!(from, WatchFrom::After(_));
                self.watchers.push(Running {
                    on,
                    watcher,
                    even: only_even,
                    folded,
                    initial,
                });
            }
            Err(Error::Compacted { requested, oldest }) => {
                assert!(requested < oldest && oldest == self.compacted);
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn list(&self, on: usize, revision: u64) {
        let query = things(Consistency::Exact(revision));
        match self.stores[on].list(query).await {
            Ok(page) => assert_eq!(state(&page), self.states[&revision]),
            Err(Error::Compacted { oldest, .. }) => {
                assert!(revision < oldest && oldest == self.compacted);
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads one page of a list, through either process; together they are the state at one revision.
    async fn page(&mut self, on: usize, mut list: Paged) {
        let page = match self.stores[on].list(list.query.clone()).await {
            Ok(page) => page,
            Err(Error::Compacted { requested, oldest }) => {
                assert!(requested == list.revision && oldest == self.compacted);
                return;
            }
            Err(error) => panic!("{error}"),
        };
        if list.query.at == Consistency::Latest {
            assert_eq!(page.revision, self.now().0);
            list.query.at = Consistency::Exact(page.revision);
            list.revision = page.revision;
        }
        assert_eq!(page.revision, list.revision);
        list.got.extend(state(&page));
        let wanted = seen(&self.states[&list.revision], list.even);
        if page.more {
            assert_eq!(Some(page.objects.len()), list.query.limit);
            let left = wanted.len() - list.got.len();
            assert!(left > 0 && page.remaining.is_none_or(|told| told == left));
            list.query.after = page
                .objects
                .last()
                .map(|o| (o.key.namespace.clone(), o.key.name.clone()));
            self.lists.push(list);
        } else {
            assert_eq!(list.got, wanted);
        }
    }

    async fn step(&mut self, Step { on, what }: &Step) {
        let on = *on;
        let back = |world: &Self, back: u64| world.now().0.saturating_sub(back).max(1);
        match what {
            What::Put { name, expect, n } => self.put(on, *name, *expect, *n).await,
            What::Delete { name } => {
                let name = format!("t-{name}");
                if let Ok(object) = delete(&self.stores[on], &name, Expect::Exists).await {
                    self.applied(name, (object.revision, None));
                }
            }
            What::Burst { names } => self.burst(names).await,
            What::Watch { back: by, even } => {
                self.watch(on, WatchFrom::After(back(self, *by)), *even)
                    .await;
            }
            What::WatchList { back: by, even } => {
                let least = by.map(|by| back(self, by));
                self.watch(on, WatchFrom::InitialEvents(least), *even).await;
            }
            What::Read { watcher, events } => {
                if let Some(running) = self.watchers.get_mut(*watcher) {
                    for _ in 0..*events {
                        if !running.read(&self.states).await {
                            break;
                        }
                    }
                }
            }
            What::ListExact { back: by } => self.list(on, back(self, *by)).await,
            What::FirstPage { limit, even } => {
                let query = ListQuery {
                    filter: filter(*even),
                    limit: Some(*limit),
                    ..things(Consistency::Latest)
                };
                let (even, got) = (*even, State::new());
                self.page(
                    on,
                    Paged {
                        query,
                        even,
                        revision: 0,
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
            What::Compact => {
                self.stores[on].compact().await.unwrap();
                self.compacted = self.compacted.max(self.now().0.saturating_sub(20));
            }
            What::Reopen => {
                self.finish(on).await;
                self.stores[on] = Store::open(self.config.clone()).await.unwrap();
            }
        }
    }

    /// Reads every watcher of a process to the end: it has what the store has.
    async fn finish(&mut self, on: usize) {
        let of_it = self.watchers.extract_if(.., |running| running.on == on);
        for mut running in of_it.collect::<Vec<_>>() {
            while running.read(&self.states).await {}
        }
        let page = self.stores[on]
            .list(things(Consistency::Latest))
            .await
            .unwrap();
        assert_eq!((page.revision, &state(&page)), self.now());
    }
}

impl Running {
    /// Reads one event if there must be one.
    async fn read(&mut self, states: &BTreeMap<u64, State>) -> bool {
        let newest = *states.last_key_value().unwrap().0;
        if !self.initial && self.folded.revision >= newest {
            return false;
        }
        // With a filter nobody knows how many events come: bookmarks tell the end.
        let event = next(&mut self.watcher).await;
        if self.initial {
            self.folded.fold(&event);
            self.initial = short(&event).0 != "end";
        } else {
            self.folded.live(&event);
        }
        if !self.initial {
            let wanted = seen(&states[&self.folded.revision], self.even);
            assert_eq!(self.folded.objects, wanted, "after {event:?}");
        }
        true
    }
}

#[test]
fn every_watcher_folds_to_the_state_of_the_store() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = Cases {
        cases: 12,
        failure_persistence: None,
        ..Cases::default()
    };
    let strategy = prop::collection::vec(step(), 1..80);
    let mut runner = TestRunner::new(cases);
    let result = runner.run(&strategy, |steps| {
        runtime.block_on(async {
            let database = database().await;
            let config = Config {
                history_events: 12,
                keep_for: Duration::ZERO,
                keep_revisions: 20,
                bookmark_interval: Duration::ZERO,
                ..config(&database)
            };
            let stores = [
                Store::open(config.clone()).await.unwrap(),
                Store::open(config.clone()).await.unwrap(),
            ];
            let states = BTreeMap::from([(1, State::new())]);
            let mut world = World {
                config,
                stores,
                states,
                compacted: 1,
                watchers: Vec::new(),
                lists: Vec::new(),
            };
            for step in &steps {
                world.step(step).await;
            }
            world.finish(0).await;
            world.finish(1).await;
        });
        Ok(())
    });
    result.unwrap();
}
