//! Which of the formats a scraper asks for.

/// Says whether `accept` prefers OpenMetrics to the text format of Prometheus.
pub(super) fn wants_open_metrics(accept: &str) -> bool {
    let quality = |media_type: &str| {
        let all = accept.split(',').map(read);
        all.filter(|(name, _)| name.eq_ignore_ascii_case(media_type))
            .map(|(_, quality)| quality)
            .fold(0.0, f64::max)
    };
    let open_metrics = quality("application/openmetrics-text");
    open_metrics > 0.0 && open_metrics >= quality("text/plain")
}

/// One media type, and how much it is wanted.
fn read(range: &str) -> (&str, f64) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (name, quality.map_or(1.0, |quality| quality.trim().parse().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_likes_best() {
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,\
                          text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        assert!(wants_open_metrics(prometheus));
        assert!(wants_open_metrics("application/openmetrics-text"));
        assert!(wants_open_metrics("Application/OpenMetrics-Text; Q=0.5, */*"));
        assert!(!wants_open_metrics("text/plain, application/openmetrics-text;q=0.9"));
        assert!(!wants_open_metrics("application/openmetrics-text;q=0"));
        assert!(!wants_open_metrics("*/*"));
        assert!(!wants_open_metrics(""));
        assert!(!wants_open_metrics("application/openmetrics-text;q=much"));
    }
}
