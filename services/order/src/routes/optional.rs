use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest};
use ferrocart_http_kit::{Json, Problem};
use futures::future::LocalBoxFuture;
use garde::Validate;
use serde::de::DeserializeOwned;

/// A JSON body that may be left away; one that is there must be right.
pub(crate) struct OptionalJson<T> {
    pub(super) value: T,
    /// As it came, for the hash of an idempotency key.
    pub(super) raw: Bytes,
}

impl<T> FromRequest for OptionalJson<T>
where
    T: DeserializeOwned + Validate<Context = ()> + Default + 'static,
{
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let headers = request.headers();
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let absent = match length {
            Some(length) => length.trim() == "0",
            None => !headers.contains_key(TRANSFER_ENCODING),
        };
        if absent {
            return Box::pin(async {
                Ok(Self {
                    value: T::default(),
                    raw: Bytes::new(),
                })
            });
        }
        let body = Json::<T>::from_request(request, payload);
        Box::pin(async {
            let Json { value, raw } = body.await?;
            Ok(Self { value, raw })
        })
    }
}
