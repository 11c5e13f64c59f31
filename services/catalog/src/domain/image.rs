//! Images, and where a CDN has them in other sizes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::content::Image;

/// How the URLs of smaller images are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageSizes {
    /// With `{width}`, and `{url}` (the image's own URL, percent-encoded) or `{raw_url}` (as it is). Empty:
    /// there are no other sizes.
    template: String,
    /// In pixels, ascending.
    widths: Vec<u32>,
}

/// An image in one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ImageSize {
    /// In pixels.
    width: u32,
    #[schema(format = "uri")]
    url: String,
}

/// An image as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProductImage)]
pub(crate) struct ImageView<'a> {
    #[schema(format = "uri", max_length = 2_048)]
    url: &'a str,
    /// What it shows, for those who do not see it.
    #[schema(max_length = 500)]
    alt: &'a str,
    /// In pixels, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// In pixels, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    /// The same image in smaller sizes, as `srcset` takes them; none where no CDN is set up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sizes: Vec<ImageSize>,
}

impl ImageSizes {
    /// The reason when it cannot be used.
    pub(crate) fn new(template: &str, widths: &str) -> Result<Self, &'static str> {
        if template.is_empty() {
            return Ok(Self::default());
        }
        let has_url = template.contains("{url}") || template.contains("{raw_url}");
        if !has_url || !template.contains("{width}") {
            return Err("must have {width}, and {url} or {raw_url}");
        }
        let parsed: Result<Vec<u32>, _> = widths.split(',').map(|width| width.trim().parse()).collect();
        let mut widths = parsed.map_err(|_| "image_widths must be numbers, separated by commas")?;
        widths.sort_unstable();
        widths.dedup();
        if widths.first() == Some(&0) || widths.len() > 20 {
            return Err("image_widths must be at most 20, each above 0");
        }
        Ok(Self {
            template: template.to_owned(),
            widths,
        })
    }

    pub(super) fn view<'a>(&self, image: &'a Image) -> ImageView<'a> {
        // Nothing is gained by making an image larger than it is.
        let smaller = |width: &&u32| image.width.is_none_or(|own| **width < own);
        let sizes = self.widths.iter().filter(smaller).map(|width| ImageSize {
            width: *width,
            url: self
                .template
                .replace("{width}", &width.to_string())
                .replace("{raw_url}", &image.url)
                .replace("{url}", &percent_encoded(&image.url)),
        });
        ImageView {
            url: &image.url,
            alt: &image.alt,
            width: image.width,
            height: image.height,
            sizes: sizes.collect(),
        }
    }
}

/// As a part of another URL.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)].map(|c| c.to_ascii_uppercase()));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn image(width: Option<u32>) -> Image {
        serde_json::from_value(json!({"url": "https://img.example.com/a b.jpg?v=1", "width": width})).unwrap()
    }

    #[test]
    fn sizes_are_smaller_than_the_image_and_quote_its_url() {
        let sizes = ImageSizes::new("https://cdn.example.com/w_{width}/{url}", "640, 320").unwrap();
        let view = serde_json::to_value(sizes.view(&image(Some(600)))).unwrap();
        assert_eq!(
            view["sizes"],
            json!([{"width": 320, "url": "https://cdn.example.com/w_320/https%3A%2F%2Fimg.example.com%2Fa%20b.jpg%3Fv%3D1"}])
        );
        assert_eq!(view["url"], "https://img.example.com/a b.jpg?v=1");
        assert_eq!(sizes.view(&image(None)).sizes.len(), 2);
        let none = serde_json::to_value(ImageSizes::default().view(&image(None))).unwrap();
        assert_eq!(none.get("sizes"), None);
    }

    #[test]
    fn a_template_without_its_places_is_refused() {
        assert!(ImageSizes::new("https://cdn.example.com/{url}", "320").is_err());
        assert!(ImageSizes::new("https://cdn.example.com/{width}", "320").is_err());
        assert!(ImageSizes::new("https://cdn.example.com/{width}/{raw_url}", "320,x").is_err());
        assert!(ImageSizes::new("https://cdn.example.com/{width}/{raw_url}", "320,0").is_err());
    }
}
