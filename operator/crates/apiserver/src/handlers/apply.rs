//! Server-side apply: the client states all that it wants, the server knows what it stated before.

use http::StatusCode;
use serde_json::{Value, json};

use super::write::{Part, Proposal, Written, insert, rewrite, with_manager};
use super::{Call, Reply};
use crate::decode;
use crate::managed_fields::{self, ApplyError};
use crate::meta;
use crate::status_error::ApiError;
use crate::validation::FieldError;

/// How often an object may come and go while it is being applied.
const ATTEMPTS: usize = 8;

/// `PATCH …/NAME` with an apply patch: changes the object, or makes it.
pub(crate) async fn apply(call: &Call, part: Part) -> Reply {
    if call.query.set("fieldManager").is_none() {
        let problem = FieldError::required("fieldManager", "is required for apply patch");
        return Err(ApiError::invalid_option(problem));
    }
    let force = call.query.flag("force")?;
    let decoded = decode::yaml_body(&call.body)?;
    let (mut config, mut problems) = (decoded.value, decoded.problems);
    if meta::fields(&mut config)?
        .get("name")
        .is_none_or(Value::is_null)
    {
        meta::fields(&mut config)?.insert("name".to_owned(), json!(call.path.name));
    }
    let unknown = call.def.schema.prune(&mut config);
    problems.extend(
        unknown
            .into_iter()
            .map(|path| format!("unknown field \"{path}\"")),
    );
    let merged = |live: Option<&Value>| {
        let object = with_manager(call, |manager, reset| {
            managed_fields::apply(&call.def.schema, live, &config, manager, force, reset)
        });
        Ok(Proposal {
            object: object.map_err(error)?,
            problems: problems.clone(),
            tracked: true,
        })
    };
    for _ in 0..ATTEMPTS {
        match rewrite(call, &call.key(), part, |current| merged(Some(current))).await {
            Err(ApiError::NotFound(_)) if part == Part::Main => {}
            done => return done?.reply(call, StatusCode::OK),
        }
        match insert(call, merged(None)?).await {
            Err(ApiError::AlreadyExists(_)) if !call.query.dry_run()? => {}
            done => {
                return done.and_then(|written: Written| written.reply(call, StatusCode::CREATED));
            }
        }
    }
    Err(ApiError::Timeout)
}

fn error(error: ApplyError) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => ApiError::ApplyConflict(conflicts),
        ApplyError::Corrupt(_) => ApiError::Internal(error.to_string()),
        other => ApiError::BadRequest(other.to_string()),
    }
}
