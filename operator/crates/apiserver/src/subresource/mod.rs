//! Parts of objects with a path of their own.

pub(crate) mod scale;
mod token;

use http::Method;

use crate::handlers::{self, Call, Part, Reply};
use crate::routes::not_allowed;
use crate::status_error::ApiError;

/// Answers `…/NAME/SUBRESOURCE`; one that the resource does not have is not found.
pub(crate) async fn route(call: &Call, method: &Method, name: &str) -> Reply {
    let declared = &call.def.subresources;
    let absent = || match call.def.custom {
        true => call.not_found(),
        false => ApiError::NoSuchPath,
    };
    match name {
        "status" if declared.status => part(call, method, Part::Status).await,
        "finalize" if declared.finalize => match *method {
            Method::PUT => handlers::update(call, Part::Finalize).await,
            _ => Err(ApiError::MethodNotAllowed),
        },
        "token" if declared.token => match *method {
            Method::POST => token::create(call).await,
            _ => Err(ApiError::MethodNotAllowed),
        },
        "scale" => match &declared.scale {
            Some(paths) => scale::answer(call, method, paths).await,
            None => Err(absent()),
        },
        _ => {
            let missing = call
                .def
                .strategy
                .view()
                .map_or(&[][..], |view| view.missing);
            let instead = missing.iter().find(|(missing, _)| *missing == name);
            Err(instead.map_or_else(absent, |(_, instead)| {
                ApiError::NotOffered((*instead).to_owned())
            }))
        }
    }
}

async fn part(call: &Call, method: &Method, part: Part) -> Reply {
    match *method {
        Method::GET => handlers::get(call).await,
        Method::HEAD if call.def.custom => handlers::get(call).await,
        Method::PUT => handlers::update(call, part).await,
        Method::PATCH => handlers::patch(call, part).await,
        _ => Err(not_allowed(call, method)),
    }
}
