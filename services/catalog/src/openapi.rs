use ferrocart_http_kit::BearerAuth;
use utoipa::OpenApi;

use crate::app::import::LineResult;
use crate::routes::import::Summary;
use crate::routes::{categories, export, import, imports, prices, products, read, review, reviews};

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart catalog", description = "Categories, products, reviews."),
    paths(
        categories::list,
        categories::create,
        categories::attributes,
        categories::put_attributes,
        read::list,
        read::get,
        read::batch,
        products::create,
        products::replace,
        products::merge,
        products::archive,
        import::import,
        export::export,
        imports::get,
        imports::errors,
        reviews::list,
        reviews::create,
        review::rewrite,
        review::remove,
        review::moderate,
        review::find_helpful,
        review::find_unhelpful,
        review::pending,
        prices::prices,
    ),
    components(schemas(LineResult, Summary)),
    tags((name = "catalog"), (name = "internal", description = "For other services; never forwarded")),
    modifiers(&BearerAuth),
)]
pub(crate) struct Document;
