//! The path of every request: identity, target, permission, deadline, handler, log line.
//!
//! Guarantees: every request is answered, with a `Status` where it fails; a panic is one failed
//! request and an ERROR in the log. No deadline and no compression touches a watch.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::runtime::Handle;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tracing::Instrument;

use crate::audit::{self, Entry};
use crate::authn::{InProcess, effective};
use crate::authz::{Attributes, Decision, forbidden};
use crate::builtin::crd;
use crate::documents;
use crate::flow::Share;
use crate::handlers::{self, Call, Query, Reply, Streaming};
use crate::metrics::{RequestLabels, VerbLabels};
use crate::negotiate::{self, Format, View};
use crate::request_body;
use crate::request_info::{self, ResourcePath, Target};
use crate::routes;
use crate::selector::FieldSelector;
use crate::server::ApiServer;
use crate::status_error::ApiError;

/// Longest request that is not worth a word in the log.
const SLOW: Duration = Duration::from_secs(1);
/// Smaller answers are sent as they are: compressing them costs more than it saves.
const COMPRESS: u64 = 128 * 1024;
/// Work on larger bodies has a thread of its own: reading this much YAML takes milliseconds.
const HEAVY: usize = 64 * 1024;
/// Warnings that one answer carries, at most; kubectl prints each on a line.
const WARNINGS: usize = 32;
/// Characters of all of them, and of each where they would be more: clients bound what headers may be.
const WARNINGS_LENGTH: usize = 4096;
const WARNING_LENGTH: usize = 256;

/// The API as a service.
pub(crate) fn router(server: ApiServer) -> Router {
    // A higher level takes several times as long, and more than the network saves.
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    Router::new()
        .fallback(handle)
        .with_state(server)
        .layer(compression.compress_when(SizeAbove::new(COMPRESS).and(NotStreaming)))
}

#[derive(Clone, Copy)]
struct NotStreaming;

impl Predicate for NotStreaming {
    fn should_compress<B: http_body::Body>(&self, response: &http::Response<B>) -> bool {
        response.extensions().get::<Streaming>().is_none()
    }
}

/// What is known of a request for logs and metrics, however far it came.
#[derive(Default)]
struct Trail {
    audit: audit::Open,
    verb: String,
    resource: String,
}

async fn handle(State(server): State<ApiServer>, request: Request) -> Response {
    let started = Instant::now();
    let entry = Entry::new(&request);
    let (id, path) = (entry.id(), request.uri().path());
    let span = tracing::info_span!("request", %id, method = %request.method(), path);
    let log = server.inner.audit.clone();
    let mut trail = Trail {
        audit: audit::Open { log, entry },
        ..Trail::default()
    };
    let query = request.uri().query().unwrap_or_default();
    let pretty = negotiate::pretty::wanted(query, request.headers());
    let accept = request.headers().get_all(header::ACCEPT).iter();
    let accept: Vec<_> = accept.cloned().collect();
    let (parts, mut body) = request.into_parts();
    let run = AssertUnwindSafe(answer(&server, parts, &mut body, &mut trail))
        .catch_unwind()
        .instrument(span.clone());
    let mut response = match run.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            if let ApiError::Internal(message) = &error {
                tracing::error!(parent: &span, message, "request failed");
            }
            error.into_response()
        }
        Err(panic) => {
            let message = panic_text(&*panic);
            tracing::error!(parent: &span, message, "request handler panicked");
            trail.audit.entry.stage = audit::Stage::Panic;
            ApiError::Internal("the request handler failed; the server's log says why".to_owned())
                .into_response()
        }
    };
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(trail.audit.entry.id()) {
        headers.insert("audit-id", value);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
    }
    record(&server, &span, &trail, response.status(), started.elapsed());
    end(trail.audit, &mut response);
    request_body::drain(body);
    let form = || negotiate::form_of(accept.iter(), |view| view == View::Full);
    let in_yaml = || form().is_ok_and(|form| form.format == Format::Yaml);
    let refused = response.status().as_u16() >= 400;
    match (pretty, refused && in_yaml()) {
        (_, true) => negotiate::pretty::refusal_in_yaml(response).await,
        (true, _) => negotiate::pretty::print(response).await,
        _ => response,
    }
}

/// Leaves the request's line in the audit log; that of a stream, once it ends.
fn end(mut audit: audit::Open, response: &mut Response) {
    audit.entry.code = response.status().as_u16();
    audit.entry.outcome = response.extensions_mut().remove().unwrap_or_default();
    if let Some(streaming) = response.extensions().get::<Streaming>() {
        audit.started();
        streaming.keep(audit);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("")
}

fn record(
    server: &ApiServer,
    span: &tracing::Span,
    trail: &Trail,
    code: StatusCode,
    elapsed: Duration,
) {
    let Trail {
        audit,
        verb,
        resource,
    } = trail;
    let user = &audit.entry.user.name;
    let metrics = &server.inner.metrics;
    let labels = RequestLabels {
        verb: verb.clone(),
        resource: resource.clone(),
        code: code.as_u16(),
    };
    metrics.requests.get_or_create(&labels).inc();
    if verb != "watch" {
        metrics
            .duration
            .get_or_create(&VerbLabels { verb: verb.clone() })
            .observe(elapsed.as_secs_f64());
    }
    let (code, ms) = (code.as_u16(), elapsed.as_secs_f64() * 1e3);
    if code >= 500 || elapsed > SLOW && verb != "watch" {
        tracing::warn!(parent: span, user, verb, resource, code, ms, "request answered");
    } else {
        tracing::debug!(parent: span, user, verb, resource, code, ms, "request answered");
    }
}

async fn answer(server: &ApiServer, mut parts: Parts, body: &mut Body, trail: &mut Trail) -> Reply {
    let limits = server.inner.config.limits;
    check_headers(&parts.headers, limits.header_bytes)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default()).of(&parts.method);
    let path = parts.uri.path();
    let target = request_info::parse(path);
    let entry = &mut trail.audit.entry;
    let senseless = match attributes(&parts.method, path, &target, &query) {
        Ok(asked) => {
            trail.verb = counted_verb(&parts.method, &asked);
            entry.asked = asked;
            None
        }
        Err(error) => Some(error),
    };
    handlers::credentials(&mut parts.headers)?;
    let user = server
        .inner
        .authenticator
        .authenticate(&parts.headers, &parts.extensions)
        .await?;
    entry.user.clone_from(&user);
    let user = effective(&server.inner.rbac, user, &parts.headers)?;
    entry.impersonated = (user != entry.user).then(|| user.clone());
    if let Some(error) = senseless {
        return Err(error);
    }
    let flow = &server.inner.flow;
    let own = entry.impersonated.is_none();
    let in_process = parts.extensions.get::<InProcess>().is_some();
    let client = flow.client(&user, own && in_process, own);
    let place = flow.admit(client, &entry.asked).await?;
    let decision = server.inner.rbac.authorize(&user, &entry.asked);
    if let Decision::Deny(reason) = entry.decision.insert(decision) {
        return Err(forbidden(&user, &entry.asked, reason));
    }
    let most = match parts.method {
        Method::GET => limits.request,
        _ => limits.change,
    };
    let asked = query.timeout()?;
    let deadline = asked.map_or(most, |asked| asked.min(most));
    let work = async {
        let path = match target {
            Target::Other => {
                let (uri, headers) = (&parts.uri, &parts.headers);
                return documents::answer(server, &parts.method, uri, headers).await;
            }
            Target::Resource(path) => path,
        };
        let mut snapshot = server.inner.registry.snapshot();
        let unknown = snapshot
            .find(&path.group, &path.version, &path.resource)
            .is_none();
        if unknown && crd::catch_up(server, &path.group, &path.resource).await {
            snapshot = server.inner.registry.snapshot();
        }
        let found = snapshot.find(&path.group, &path.version, &path.resource);
        let def = found.ok_or_else(|| snapshot.no_such_path(&path.group))?;
        trail.resource = def.qualified_plural();
        let (body, memory) =
            request_body::read(flow, client, limits.body_bytes, &parts.headers, body).await?;
        let upgrade = match trail.verb.as_str() {
            "watch" => handlers::upgrade(&mut parts).await?,
            _ => None,
        };
        let call = Call {
            server: server.clone(),
            def: def.clone(),
            path,
            user,
            renderer: handlers::renderer(def, &parts.headers, &query)?,
            query,
            headers: parts.headers,
            body,
            client,
            upgrade: parking_lot::Mutex::new(upgrade),
            warnings: parking_lot::Mutex::new(def.deprecation.iter().cloned().collect()),
        };
        run(call, parts.method, (place, memory)).await
    };
    let done = tokio::time::timeout(deadline, work).await;
    done.unwrap_or(Err(ApiError::Timeout))
}

/// Runs the handler: here, or on a thread of its own where reading and checking the body takes long
/// enough to hold up others. What is `held` is held until it ends, also when nobody waits any more.
async fn run(call: Call, method: Method, held: (Share, Option<Share>)) -> Reply {
    let handle = async move |call: Call| {
        let reply = routes::answer(&call, &method).await;
        drop(held);
        with_warnings(reply, call.warnings.into_inner())
    };
    if call.body.len() < HEAVY {
        return handle(call).await;
    }
    let heavy = call.server.inner.flow.heavy.clone();
    // The semaphore is never closed.
    let permit = heavy.acquire_owned().await.ok();
    let (runtime, span) = (Handle::current(), tracing::Span::current());
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        span.in_scope(|| runtime.block_on(handle(call)))
    });
    work.await
        .unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ApiError::Unavailable("the server is stopping".to_owned())),
        })
}

fn check_headers(headers: &HeaderMap, limit: usize) -> Result<(), ApiError> {
    let size = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    if headers.iter().map(size).sum::<usize>() > limit {
        return Err(ApiError::HeadersTooLarge { limit });
    }
    Ok(())
}

fn attributes(
    method: &Method,
    path: &str,
    target: &Target,
    query: &Query,
) -> Result<Attributes, ApiError> {
    let path = path.to_owned();
    let Target::Resource(resource) = target else {
        return Ok(Attributes {
            verb: method.as_str().to_lowercase(),
            path,
            ..Attributes::default()
        });
    };
    let collection = resource.name.is_empty();
    let verb = match *method {
        Method::GET if resource.watch => "watch",
        Method::GET | Method::HEAD if !collection => "get",
        Method::GET if query.flag("watch") => "watch",
        Method::GET | Method::HEAD => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => "",
    };
    let ResourcePath {
        group,
        version,
        namespace,
        resource,
        name,
        subresource,
        watch: _,
    } = resource.clone();
    // A namespace is inside itself, and a selector that names one object reads that one.
    let namespace = match (group.as_str(), resource.as_str()) {
        ("", "namespaces") => name.clone(),
        _ => namespace,
    };
    let name = match (collection, verb) {
        (true, "list" | "watch") => selected_name(query)?,
        _ => name,
    };
    Ok(Attributes {
        verb: verb.to_owned(),
        group,
        version,
        resource,
        subresource,
        namespace,
        name,
        path,
    })
}

/// The name in a field selector of a single object.
fn selected_name(query: &Query) -> Result<String, ApiError> {
    let text = query.get("fieldSelector").unwrap_or_default();
    let selector =
        FieldSelector::parse(text).map_err(|error| ApiError::BadRequest(error.to_string()))?;
    Ok(selector.name().unwrap_or_default().to_owned())
}

/// Methods are the client's words: only those that exist are counted by name.
fn counted_verb(method: &Method, attributes: &Attributes) -> String {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    if known.contains(method) {
        attributes.verb.clone()
    } else {
        "other".to_owned()
    }
}

/// Puts warnings into headers, as kubectl shows them.
fn with_warnings(reply: Reply, warnings: Vec<String>) -> Reply {
    if warnings.is_empty() {
        return reply;
    }
    let mut response = reply.unwrap_or_else(IntoResponse::into_response);
    let mut room = WARNINGS_LENGTH;
    let length = |text: &String| text.chars().count();
    let longest = match warnings.iter().map(length).sum::<usize>() > room {
        true => WARNING_LENGTH,
        false => room,
    };
    for text in warnings.into_iter().take(WARNINGS) {
        let text: String = text.chars().take(longest).collect();
        room = match room.checked_sub(length(&text)) {
            Some(room) => room,
            None => break,
        };
        let quoted = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(char::is_control, " ");
        if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

/// Answers that are whole documents carry their form with them.
pub(crate) fn document(headers: &HeaderMap, value: &serde_json::Value) -> Reply {
    Ok(negotiate::respond(
        negotiate::form(headers, |view| view == View::Full)?.format,
        StatusCode::OK,
        value,
    ))
}
