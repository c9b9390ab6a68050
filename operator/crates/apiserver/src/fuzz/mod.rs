//! Fuzz targets: everything that reads what came over the network.
//!
//! Each target is a function from bytes that panics when a promise is broken: not only that nothing
//! panics, but that what was read can be written and read again, that laws of the operation hold,
//! that a refusal is the client's error (4xx) with a text. `make fuzz` runs them for minutes, guided
//! by coverage (`fuzz/run`); the tests here run the same targets over their seeds and some thousand
//! mutations of them, the same ones every time.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, missing_docs)]

mod bodies;
mod objects;
mod patches;
mod rules;
mod source;
mod texts;

pub(crate) use source::Source;

use crate::status_error::ApiError;

pub struct Target {
    pub name: &'static str,
    /// Inputs to begin with.
    pub seeds: &'static [&'static str],
    pub run: fn(&[u8]),
}

impl Target {
    /// What the seeds are made of: a dictionary for mutations.
    pub fn words(&self) -> Vec<&'static str> {
        let is_word = |c: char| c.is_alphanumeric() || "$_-".contains(c);
        let mut words: Vec<_> = self
            .seeds
            .iter()
            .flat_map(|seed| seed.split_inclusive(|c| !is_word(c)))
            .flat_map(|piece| [piece, piece.trim_end_matches(|c| !is_word(c))])
            .filter(|word| !word.is_empty() && word.len() <= 64)
            .collect();
        words.sort_unstable();
        words.dedup();
        words
    }
}

macro_rules! targets {
    ($($name:ident: $run:path, $seeds:expr;)*) => {
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), seeds: $seeds, run: $run }),*];

        /// Each target for a second or so.
        #[cfg(test)]
        mod tests {
            $(#[test]
            fn $name() {
                super::seconds::run(stringify!($name));
            })*
        }
    };
}

targets! {
    json: bodies::json, bodies::JSON;
    yaml: bodies::yaml, bodies::YAML;
    protobuf: crate::decode::fuzz::bytes, &[];
    protobuf_objects: crate::decode::fuzz::objects, &[];
    json_patch: patches::json_patch, &[];
    merge_patch: patches::merge_patch, &[];
    strategic_patch: patches::strategic, &[];
    apply: patches::apply, &[];
    field_sets: patches::field_sets, patches::FIELD_SETS;
    label_selectors: texts::label_selectors, texts::LABELS;
    equal_selectors: texts::equal_selectors, &[];
    field_selectors: texts::field_selectors, texts::FIELDS;
    list_options: texts::list_options, texts::OPTIONS;
    paths_and_headers: texts::paths_and_headers, texts::PATHS;
    names: texts::names, texts::NAMES;
    quantities: texts::quantities, texts::QUANTITIES;
    json_paths: texts::json_paths, texts::JSON_PATHS;
    certificates: texts::certificates, &[];
    tokens: texts::tokens, &[];
    cel: rules::cel, rules::CEL;
    schemas: rules::schemas, &[];
    definitions: rules::definitions, &[];
    objects: objects::objects, &[];
}

/// A refusal must be the client's fault, and say something.
fn refused(error: &ApiError) {
    let status = error.status();
    let code = status["code"].as_u64().unwrap();
    assert!((400..500).contains(&code), "{status}");
    assert!(
        status["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{status}"
    );
}

#[cfg(test)]
mod seconds {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::{Duration, Instant};

    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::{TARGETS, Target};

    const INPUTS: u64 = 2_000;
    const LONGEST: usize = 512;
    /// What an input may take here, in a build without optimization on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(10);

    pub fn run(name: &str) {
        let target = TARGETS.iter().find(|target| target.name == name).unwrap();
        for seed in target.seeds {
            check(target, seed.as_bytes(), "a seed");
        }
        for number in 0..INPUTS {
            check(target, &mutated(target, number), &format!("input {number}"));
        }
    }

    fn check(target: &Target, input: &[u8], which: &str) {
        let started = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        let which = || {
            format!(
                "target {}, {which}: b\"{}\"",
                target.name,
                input.escape_ascii()
            )
        };
        assert!(outcome.is_ok(), "{}", which());
        assert!(
            started.elapsed() < PATIENCE,
            "{:?} for {}",
            started.elapsed(),
            which()
        );
    }

    /// Input number so-and-so: a seed, changed some times.
    fn mutated(target: &Target, number: u64) -> Vec<u8> {
        let mut rng = StdRng::seed_from_u64(number);
        let words = target.words();
        let mut input = if target.seeds.is_empty() {
            (0..rng.random_range(0..LONGEST))
                .map(|_| rng.random())
                .collect()
        } else {
            target.seeds[rng.random_range(0..target.seeds.len())]
                .as_bytes()
                .to_vec()
        };
        for _ in 0..rng.random_range(0..6) {
            let at = rng.random_range(0..=input.len());
            let end = rng.random_range(at..=input.len().min(at + 32));
            let piece = match rng.random_range(0..6) {
                0 => vec![rng.random()],
                1 | 2 if !words.is_empty() => words[rng.random_range(0..words.len())].into(),
                3 => input[at..end].repeat(rng.random_range(2..5)),
                4 if at < input.len() => vec![input[at] ^ (1 << rng.random_range(0..8))],
                _ => Vec::new(),
            };
            input.splice(at..end, piece);
        }
        input.truncate(LONGEST);
        input
    }
}
