//! libFuzzer around the targets in `apiserver::fuzz`: `./run` builds and runs it.
//!
//! One program for all targets, because linking takes longer than fuzzing some of them:
//! `FUZZ_TARGET` names the one. `FUZZ_SEEDS` is a directory that gets the target's seeds, and
//! `FUZZ_WORDS` a file that gets its dictionary. Without a target it lists them.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod libfuzzer {
    use std::path::Path;
    use std::sync::OnceLock;

    use apiserver::fuzz::{TARGETS, Target};
    use libfuzzer_sys::fuzz_target;

    static TARGET: OnceLock<&'static Target> = OnceLock::new();

    fuzz_target!(
        init: start(),
        |data: &[u8]| {
            if let Some(target) = TARGET.get() {
                (target.run)(data);
            }
        }
    );

    fn start() {
        let Some(wanted) = std::env::var_os("FUZZ_TARGET") else {
            TARGETS
                .iter()
                .for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        };
        let Some(target) = TARGETS.iter().find(|target| wanted == target.name) else {
            eprintln!("no target {wanted:?}");
            std::process::exit(2);
        };
        if let Some(directory) = std::env::var_os("FUZZ_SEEDS") {
            for (nth, seed) in target.seeds.iter().enumerate() {
                write(&Path::new(&directory).join(format!("seed-{nth}")), seed);
            }
        }
        if let Some(file) = std::env::var_os("FUZZ_WORDS") {
            let escaped = |word: &str| {
                word.bytes()
                    .map(|b| format!("\\x{b:02x}"))
                    .collect::<String>()
            };
            let words = target.words();
            let lines: String = words
                .iter()
                .map(|word| format!("\"{}\"\n", escaped(word)))
                .collect();
            // An empty dictionary is refused.
            write(Path::new(&file), &format!("# {}\n{lines}", target.name));
        }
        let _ = TARGET.set(target);
    }

    fn write(path: &Path, text: &str) {
        if let Err(error) = std::fs::write(path, text) {
            eprintln!("{}: {error}", path.display());
            std::process::exit(2);
        }
    }
}

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("This is only something when it is built by `make fuzz`.");
    std::process::exit(2);
}
