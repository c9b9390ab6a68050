//! From a method and a resource path to the handler.

use http::Method;

use crate::handlers::{self, Call, Part, Reply};
use crate::negotiate::{Format, View};
use crate::registry::Verb;
use crate::status_error::{ApiError, Subject};
use crate::subresource;

/// Answers a request for a resource.
pub(crate) async fn answer(call: &Call, method: &Method) -> Reply {
    let (def, path) = (&call.def, &call.path);
    let everywhere = path.namespace.is_empty();
    let misplaced = if def.namespaced {
        everywhere && !path.name.is_empty()
    } else {
        !everywhere
    };
    if misplaced {
        return Err(match def.custom {
            true => ApiError::PageNotFound,
            false => ApiError::NoSuchPath,
        });
    }
    // The old paths of watches are for nothing else.
    if path.watch && (*method != Method::GET || !path.subresource.is_empty()) {
        return Err(not_allowed(call, method));
    }
    if *method != Method::GET {
        call.query.check_field_manager()?;
    }
    if !path.subresource.is_empty() {
        return subresource::route(call, method, &path.subresource).await;
    }
    let verb = verb(call, method)?;
    // Over all namespaces there is only reading.
    let reads = matches!(verb, Verb::Get | Verb::List | Verb::Watch);
    if def.namespaced && everywhere && !reads {
        return Err(match def.custom {
            true => ApiError::PageNotFound,
            false => ApiError::MethodNotAllowed,
        });
    }
    check_view(call, verb)?;
    if !def.supports(verb) {
        match def.strategy.view() {
            Some(view) if view.writer == call.user.name => {}
            Some(view) => return Err(ApiError::NotOffered(view.instead.to_owned())),
            None if def.custom && verb == Verb::Create => {
                return Err(handlers::definition_ends(call));
            }
            None => return Err(not_allowed(call, method)),
        }
    }
    match verb {
        Verb::Get => handlers::get(call).await,
        Verb::List => handlers::list(call).await,
        Verb::Watch => handlers::watch(call).await,
        Verb::Create => handlers::create(call).await,
        Verb::Update => handlers::update(call, Part::Main).await,
        Verb::Patch => handlers::patch(call, Part::Main).await,
        Verb::Delete => handlers::delete(call).await,
        Verb::DeleteCollection => handlers::delete_collection(call).await,
    }
}

fn verb(call: &Call, method: &Method) -> Result<Verb, ApiError> {
    let collection = call.path.name.is_empty();
    Ok(match *method {
        Method::GET if call.path.watch => Verb::Watch,
        Method::GET if !collection => Verb::Get,
        Method::GET if call.query.flag("watch") => Verb::Watch,
        Method::GET => Verb::List,
        Method::HEAD if call.def.custom && collection => Verb::List,
        Method::HEAD if call.def.custom => Verb::Get,
        Method::POST if collection => Verb::Create,
        Method::PUT if !collection => Verb::Update,
        Method::PATCH if !collection => Verb::Patch,
        Method::DELETE if collection => Verb::DeleteCollection,
        Method::DELETE => Verb::Delete,
        _ => return Err(not_allowed(call, method)),
    })
}

/// The error for a method that a resource or subresource does not have.
pub(crate) fn not_allowed(call: &Call, method: &Method) -> ApiError {
    if !call.def.custom {
        return ApiError::MethodNotAllowed;
    }
    let verb = match *method {
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    };
    let subject = Subject::resource(&call.def, "");
    ApiError::MethodNotSupported { subject, verb }
}

/// The metadata of one object is no list, nor the other way round; YAML is no stream.
fn check_view(call: &Call, verb: Verb) -> Result<(), ApiError> {
    if verb == Verb::Watch && call.renderer.form.format == Format::Yaml {
        let message = "only the following media types are accepted: application/json;stream=watch";
        return Err(ApiError::NotAcceptable(message.to_owned()));
    }
    let many = matches!(verb, Verb::List | Verb::DeleteCollection);
    let (asked, article, kind) = match call.renderer.form.view {
        View::Metadata if many => ("PartialObjectMetadata", "a", &call.def.list_kind),
        View::MetadataList if !many && verb != Verb::Watch => {
            ("PartialObjectMetadataList", "not a", &call.def.kind)
        }
        _ => return Ok(()),
    };
    let message =
        format!("you requested {asked}, but the requested object is {article} list ({kind})");
    Err(ApiError::NotAcceptable(message))
}
