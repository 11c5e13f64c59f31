mod answer;
mod index_status;
mod parameters;
mod search;
mod suggest;

use actix_web::web::{self, ServiceConfig};

pub(crate) use answer::{Highlights, RatingView, SearchAnswer, SearchItem};
pub(crate) use index_status::{__path_index, __path_index_status, __path_rebuild, IndexStatus};
pub(crate) use search::__path_search;
pub(crate) use suggest::{__path_suggest, Suggestions};

pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .route("/v1/search", web::get().to(search::search))
        .route("/v1/search/suggest", web::get().to(suggest::suggest))
        .route("/v1/admin/search/index", web::get().to(index_status::index))
        .route(
            "/v1/admin/search/index/rebuild",
            web::post().to(index_status::rebuild),
        )
        .route("/internal/v1/index", web::get().to(index_status::index_status));
}
