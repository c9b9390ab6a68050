//! Tasks as they live and fail, and their logs.

use std::time::Duration;

use plan::model::{ServiceSpec, Task, TaskState};

use crate::engine::Engine;
use crate::support::{Client, PATIENCE};

async fn task_in(client: &Client, spec: &ServiceSpec, state: TaskState) -> Task {
    client.create(spec).await.unwrap();
    client
        .until_seen(&format!("task in {state:?}"), |s| {
            s.tasks
                .iter()
                .find(|t| t.state == state && (state != TaskState::Pending || !t.error.is_empty()))
                .cloned()
        })
        .await
}

#[tokio::test]
async fn a_running_task_has_node_container_and_no_exit_code() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "running");
    let spec = client.spec("a", "sleep 1000");
    let task = task_in(&client, &spec, TaskState::Running).await;
    assert_eq!(task.node_id, client.fresh().await.nodes[0].id);
    assert_eq!(
        (task.slot, task.exit_code, task.error.as_str()),
        (1, None, "")
    );
    assert!(!task.container_id.is_empty() && task.state_since >= task.created_at);
    assert_eq!(task.spec, spec.task);
    client.clean_up().await;
}

// Case F41, F60: a crash has an exit code, a reason, and the end of its log.
#[tokio::test]
async fn a_crashed_task_tells_its_exit_code_and_the_end_of_its_log() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "crash");
    let line = "seq 1 50; echo 'bäd config' >&2; exit 3";
    let task = task_in(&client, &client.spec("a", line), TaskState::Failed).await;
    assert_eq!(task.exit_code, Some(3));
    assert!(task.error.contains("non-zero exit (3)"), "{}", task.error);

    let tail = client
        .task_log_tail(&task.id, 100, 1 << 16, PATIENCE)
        .await
        .unwrap();
    let mut lines: Vec<_> = tail.text.lines().collect();
    assert!(tail.complete && lines.len() == 51, "{tail:?}");
    assert!(lines.contains(&"bäd config"), "both streams: {tail:?}");
    lines.retain(|line| *line != "bäd config");
    assert_eq!(lines, (1..=50).map(|n| n.to_string()).collect::<Vec<_>>());

    let tail = client
        .task_log_tail(&task.id, 3, 1 << 16, PATIENCE)
        .await
        .unwrap();
    assert_eq!(tail.text.lines().count(), 3, "{tail:?}");
    let tail = client
        .task_log_tail(&task.id, 100, 10, PATIENCE)
        .await
        .unwrap();
    assert!(tail.text.len() <= 10 && !tail.text.is_empty(), "{tail:?}");

    let error = client
        .task_log_tail("absent", 3, 100, PATIENCE)
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind, swarm::ErrorKind::NotFound(_)),
        "{error:?}"
    );
    client.clean_up().await;
}

#[tokio::test]
async fn a_log_of_a_terminal_is_plain_text() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "tty");
    let mut spec = client.spec("a", "echo one; echo two; exit 1");
    spec.task.container.tty = true;
    let task = task_in(&client, &spec, TaskState::Failed).await;
    let tail = client
        .task_log_tail(&task.id, 10, 1000, PATIENCE)
        .await
        .unwrap();
    assert_eq!(
        tail.text.lines().map(str::trim_end).collect::<Vec<_>>(),
        ["one", "two"]
    );
    client.clean_up().await;
}

#[tokio::test]
async fn a_task_that_cannot_run_says_why() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "cannot");
    let mut missing = client.spec("missing", "true");
    missing.task.container.image = "nowhere.invalid/none:1".into();
    let task = task_in(&client, &missing, TaskState::Rejected).await;
    assert!(
        task.error.contains("No such image: nowhere.invalid/none:1"),
        "{}",
        task.error
    );
    assert_eq!((task.exit_code, task.container_id.as_str()), (None, ""));

    let mut nowhere = client.spec("nowhere", "true");
    nowhere.task.placement.constraints = vec!["node.labels.zone==moon".into()];
    let task = task_in(&client, &nowhere, TaskState::Pending).await;
    assert!(task.error.contains("no suitable node"), "{}", task.error);
    assert_eq!(task.node_id, "");
    client.clean_up().await;
}

#[tokio::test]
async fn a_task_that_did_its_work_is_complete() {
    let engine = Engine::shared();
    let client = Client::new(&engine, "complete");
    let task = task_in(&client, &client.spec("a", "true"), TaskState::Complete).await;
    assert_eq!(task.exit_code, Some(0));
    client.clean_up().await;
}

// Case F53's sibling, moby #37336: a log that never ends ends here.
#[tokio::test]
async fn a_silent_engine_does_not_hang_a_log_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix://{}", path.display()).parse().unwrap();
    let client = Client::with(swarm::Config::new(address, "l", "u"));
    let error = client
        .task_log_tail("t", 1, 100, Duration::from_millis(100))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind, swarm::ErrorKind::Timeout(_)),
        "{error:?}"
    );
    drop(listener);
}
