//! Swarm's placement constraints, as far as an observed node can answer them.
//!
//! The Swarm decides; this evaluation only tells how many nodes a global service will use and
//! whether a changed constraint moves a running task.

use crate::model::Node;

/// Does the node satisfy all constraints? `None` when one asks for something that is not observed
/// (engine labels) or cannot be read.
pub(crate) fn satisfies(node: &Node, constraints: &[String]) -> Option<bool> {
    let mut unknown = false;
    for constraint in constraints {
        match holds(node, constraint) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => unknown = true,
        }
    }
    (!unknown).then_some(true)
}

fn holds(node: &Node, constraint: &str) -> Option<bool> {
    let (key, wanted, equal) = split(constraint)?;
    let value = match key.to_ascii_lowercase().as_str() {
        "node.id" => node.id.as_str(),
        "node.hostname" => node.hostname.as_str(),
        "node.role" => node.spec.role.as_str(),
        "node.platform.os" => node.os.as_str(),
        "node.platform.arch" => node.architecture.as_str(),
        lower if lower.starts_with("node.labels.") => {
            // The label's own name keeps its case; an absent label compares as empty.
            node.spec
                .labels
                .get(&key["node.labels.".len()..])
                .map_or("", String::as_str)
        }
        _ => return None,
    };
    Some(value.eq_ignore_ascii_case(wanted) == equal)
}

fn split(constraint: &str) -> Option<(&str, &str, bool)> {
    let at = constraint.find(['=', '!'])?;
    let equal = match constraint.get(at..at + 2)? {
        "==" => true,
        "!=" => false,
        _ => return None,
    };
    Some((constraint[..at].trim(), constraint[at + 2..].trim(), equal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_answered_as_the_scheduler_does() {
        let mut node = Node {
            id: "n1id".into(),
            hostname: "n1".into(),
            os: "linux".into(),
            ..Node::default()
        };
        node.spec.role = "worker".into();
        node.spec.labels.insert("Zone".into(), "A".into());
        let cases = [
            ("node.hostname==n1", Some(true)),
            ("node.hostname == N1", Some(true)),
            ("node.hostname!=n1", Some(false)),
            ("node.role==manager", Some(false)),
            ("node.labels.Zone==a", Some(true)),
            ("node.labels.zone==a", Some(false)),
            ("node.labels.zone!=a", Some(true)),
            ("node.platform.os==linux", Some(true)),
            ("engine.labels.disk==ssd", None),
            ("node.ip==10.0.0.0/8", None),
            ("nonsense", None),
            ("a=b", None),
        ];
        for (constraint, expected) in cases {
            assert_eq!(holds(&node, constraint), expected, "{constraint}");
        }
        let all = |list: &[&str]| {
            satisfies(
                &node,
                &list.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(all(&[]), Some(true));
        assert_eq!(
            all(&["engine.labels.x==y", "node.role==manager"]),
            Some(false)
        );
        assert_eq!(all(&["engine.labels.x==y", "node.role==worker"]), None);
    }
}
