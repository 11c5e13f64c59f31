use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::app::import::{LineResult, Summary};
use crate::routes::{categories, import, prices, products, read, reviews};

#[derive(OpenApi)]
#[openapi(
    info(title = "Ferrocart catalog", description = "Categories, products, reviews."),
    paths(
        categories::list,
        categories::create,
        read::list,
        read::get,
        read::batch,
        products::create,
        products::replace,
        products::merge,
        products::archive,
        import::import,
        reviews::list,
        reviews::create,
        prices::prices,
    ),
    components(schemas(LineResult, Summary)),
    tags((name = "catalog"), (name = "internal", description = "For other services; never forwarded")),
    modifiers(&Bearer),
)]
pub(crate) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        document
            .components
            .get_or_insert_with(Default::default)
            .add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
