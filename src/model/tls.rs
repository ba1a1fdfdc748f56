//! How connections are secured.

use std::sync::Arc;

use rustls_platform_verifier::BuilderVerifierExt;

/// The terms of connections to `https` with the host's own certificates; without any, which costs
/// nothing, where no connection will be secured.
pub(crate) fn tls(is_https: bool) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let builder = match is_https {
        true => builder.with_platform_verifier()?,
        false => builder.with_root_certificates(rustls::RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}
