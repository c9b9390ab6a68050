//! Rules about the text of the project.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use e2e::lab::repository;

/// Lines of a source file without its tests, above which it does not fit into a head.
const LONGEST_FILE: usize = 600;
/// Files that are longer, with their length. May only shrink: a file that got shorter has to be
/// entered with its new length, a file that fits has to go.
const LONGER_FILES: &[(&str, usize)] = &[];

#[test]
fn files_fit_into_a_head() -> anyhow::Result<()> {
    let mut lengths = BTreeMap::new();
    for top in ["api-types", "operator", "e2e"] {
        measure(&repository().join(top), &mut lengths)?;
    }
    ensure!(lengths.len() > 50, "only {} files found", lengths.len());
    let known: BTreeMap<&str, usize> = LONGER_FILES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, length) in &lengths {
        match known.get(file.as_str()) {
            None if *length > LONGEST_FILE => wrong.push(format!("{file} has {length} lines")),
            Some(entered) if length != entered => {
                wrong.push(format!("{file} has {length} lines, {entered} are entered"))
            }
            _ => {}
        }
    }
    wrong.extend(
        known
            .keys()
            .filter(|file| !lengths.contains_key(**file))
            .map(|file| format!("{file} is gone")),
    );
    ensure!(wrong.is_empty(), "split them: {wrong:#?}");
    Ok(())
}

/// Lines of every Rust file below that is not for tests, without the tests at its end.
fn measure(directory: &Path, lengths: &mut BTreeMap<String, usize>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            measure(&path, lengths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let code = text
                .lines()
                .take_while(|line| !line.starts_with("#[cfg(test)]"))
                .count();
            let name = path
                .strip_prefix(repository())?
                .to_string_lossy()
                .into_owned();
            lengths.insert(name, code);
        }
    }
    Ok(())
}

#[test]
fn one_tls_library() -> anyhow::Result<()> {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock"))?;
    for name in ["aws-lc-rs", "openssl", "native-tls"] {
        ensure!(
            !lock.contains(&format!("name = \"{name}\"\n")),
            "{name} came in: ring is what everything uses"
        );
    }
    Ok(())
}
