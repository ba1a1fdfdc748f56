//! Whom an HTTPS client trusts.

use std::sync::Arc;

use rustls_platform_verifier::BuilderVerifierExt;

/// The host's own certificates, if a client `needs` any; none, which costs nothing, for `http`.
pub(crate) fn tls(needs: bool) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let builder = if needs {
        builder.with_platform_verifier()?
    } else {
        builder.with_root_certificates(rustls::RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
