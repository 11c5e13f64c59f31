//! The catalog service: `serve | migrate | check-config | openapi`.

fn main() -> std::process::ExitCode {
    ferrocart_http_kit::run_main::<ferrocart_catalog::CatalogService>()
}
