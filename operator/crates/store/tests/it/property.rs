//! Random interleavings of writes, watches, lists, compactions and restarts: every watcher's folded
//! state is the store's, and a model's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use store::{
    Config, Consistency, Error, Expect, Store, WatchFrom, WatchQuery, Watcher, WriteError,
};

use crate::postgres::database;
use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Put {
        name: u8,
        expect: u8,
        n: u64,
    },
    Delete {
        name: u8,
    },
    /// Several writes at once, so that they share a batch.
    Burst {
        names: Vec<u8>,
    },
    Watch {
        back: u64,
        even: bool,
    },
    WatchNow {
        even: bool,
    },
    Read {
        watcher: usize,
        events: usize,
    },
    ListExact {
        back: u64,
    },
    Compact,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_u8, 0..3_u8, 0..100_u64).prop_map(|(name, expect, n)| Step::Put { name, expect, n }),
        3 => (0..6_u8).prop_map(|name| Step::Delete { name }),
        3 => prop::collection::vec(0..6_u8, 1..12).prop_map(|names| Step::Burst { names }),
        2 => (0..40_u64, any::<bool>()).prop_map(|(back, even)| Step::Watch { back, even }),
        1 => any::<bool>().prop_map(|even| Step::WatchNow { even }),
        3 => (0..8_usize, 1..6_usize).prop_map(|(watcher, events)| Step::Read { watcher, events }),
        2 => (0..40_u64).prop_map(|back| Step::ListExact { back }),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

type State = BTreeMap<String, (u64, u64)>;

struct Running {
    watcher: Watcher,
    even: bool,
    folded: Folded,
    initial: bool,
}

struct World {
    config: Config,
    store: Store,
    /// The state at every revision, by the model.
    states: BTreeMap<u64, State>,
    compacted: u64,
    watchers: Vec<Running>,
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

    async fn put(&mut self, name: u8, expect: u8, n: u64) {
        let name = format!("t-{name}");
        let there = self.now().1.get(&name).map(|(revision, _)| *revision);
        let (expect, fits) = match (expect, there) {
            (0, there) => (Expect::Absent, there.is_none()),
            (1, there) => (Expect::Exists, there.is_some()),
            (_, Some(revision)) => (Expect::Revision(revision), true),
            (_, None) => (Expect::Revision(1), false),
        };
        match put(&self.store, &name, expect, n).await {
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
            let (store, name) = (&self.store, format!("t-{name}"));
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

    async fn watch(&mut self, from: WatchFrom, only_even: bool) {
        let filter = only_even.then(|| Arc::new(even) as store::Filter);
        let query = WatchQuery {
            filter,
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
        match self.store.watch(query).await {
            Ok(watcher) => {
                let initial = !matches!(from, WatchFrom::After(_));
                self.watchers.push(Running {
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

    async fn list(&self, revision: u64) {
        match self.store.list(things(Consistency::Exact(revision))).await {
            Ok(page) => assert_eq!(state(&page), self.states[&revision]),
            Err(Error::Compacted { oldest, .. }) => {
                assert!(revision < oldest && oldest == self.compacted);
            }
            Err(error) => panic!("{error}"),
        }
    }

    async fn step(&mut self, step: &Step) {
        let back = |world: &Self, back: u64| world.now().0.saturating_sub(back).max(1);
        match step {
            Step::Put { name, expect, n } => self.put(*name, *expect, *n).await,
            Step::Delete { name } => {
                let name = format!("t-{name}");
                if let Ok(object) = delete(&self.store, &name, Expect::Exists).await {
                    self.applied(name, (object.revision, None));
                }
            }
            Step::Burst { names } => self.burst(names).await,
            Step::Watch { back: by, even } => {
                self.watch(WatchFrom::After(back(self, *by)), *even).await;
            }
            Step::WatchNow { even } => self.watch(WatchFrom::InitialEvents(None), *even).await,
            Step::Read { watcher, events } => {
                let newest = self.now().0;
                if let Some(running) = self.watchers.get_mut(*watcher) {
                    for _ in 0..*events {
                        if !running.read(newest).await {
                            break;
                        }
                    }
                }
            }
            Step::ListExact { back: by } => self.list(back(self, *by)).await,
            Step::Compact => {
                self.store.compact().await.unwrap();
                self.compacted = self.compacted.max(self.now().0.saturating_sub(20));
            }
            Step::Reopen => {
                self.finish().await;
                self.store = Store::open(self.config.clone()).await.unwrap();
            }
        }
    }

    /// Reads every watcher to the end: it has what the store has.
    async fn finish(&mut self) {
        let (newest, now) = self.now();
        let now = now.clone();
        for mut running in std::mem::take(&mut self.watchers) {
            while running.read(newest).await {}
            assert_eq!(running.folded.objects, seen(&now, running.even));
        }
        assert_eq!(
            state(&self.store.list(things(Consistency::Latest)).await.unwrap()),
            now
        );
    }
}

impl Running {
    /// Reads one event if there must be one.
    async fn read(&mut self, newest: u64) -> bool {
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
        true
    }
}

#[test]
fn every_watcher_folds_to_the_state_of_the_store() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cases = Cases {
        cases: 24,
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
            let store = Store::open(config.clone()).await.unwrap();
            let states = BTreeMap::from([(1, State::new())]);
            let mut world = World {
                config,
                store,
                states,
                compacted: 1,
                watchers: Vec::new(),
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
