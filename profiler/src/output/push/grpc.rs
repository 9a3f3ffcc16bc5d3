//! The calls of gRPC: what is asked, and that it is gRPC that answers.
//!
//! What an answer means is left to [`super::failure`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response, Uri, header};
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::{Service, StdError};
use tonic::metadata::MetadataMap;

use super::client::Client;
use super::failure::Failure;
use super::proto::opentelemetry::proto::collector::profiles::v1development as otlp_service;
use super::proto::parca::profilestore::v1alpha1 as parca;

/// Something answered that is no server of gRPC: a web server has a page for every URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it answers 200 OK, but not by gRPC; look at the URL")]
struct NotGrpc;

/// A client that takes the answers of gRPC only: tonic takes a web page for a broken message, which would cost the window.
#[derive(Clone)]
pub(super) struct GrpcClient(pub(super) Client<Body>);

impl Service<Request<Body>> for GrpcClient {
    type Response = Response<Incoming>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let content = answer.headers().get(header::CONTENT_TYPE);
            let is_grpc =
                content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"));
            // What other status there is says more than this would.
            if answer.status().is_success() && !is_grpc {
                return Err(NotGrpc.into());
            }
            Ok(answer)
        })
    }
}

/// One call of OTLP; returns what the receiver remarks, mostly nothing.
///
/// A part of the window that is rejected must not be sent again, so it counts as refused; words alone are a remark.
pub(super) async fn export(
    client: GrpcClient,
    origin: Uri,
    message: otlp_service::ExportProfilesServiceRequest,
    headers: HeaderMap,
) -> Result<String, Failure> {
    let client =
        otlp_service::profiles_service_client::ProfilesServiceClient::with_origin(client, origin);
    // Every collector takes gzip, and names are most of a message.
    let mut client = client
        .send_compressed(CompressionEncoding::Gzip)
        .max_encoding_message_size(usize::MAX);
    let answer = client.export(with_headers(message, headers)).await;
    let answer = answer.map_err(|status| Failure::of_grpc(&status))?;
    let Some(partly) = answer.into_inner().partial_success else {
        return Ok(String::new());
    };
    if partly.rejected_profiles > 0 {
        let status = tonic::Status::invalid_argument(partly.error_message);
        return Err(Failure::of_grpc(&status));
    }
    Ok(partly.error_message)
}

/// One call of Parca.
pub(super) async fn write_raw(
    client: GrpcClient,
    origin: Uri,
    message: parca::WriteRawRequest,
    headers: HeaderMap,
) -> Result<(), Failure> {
    let client =
        parca::profile_store_service_client::ProfileStoreServiceClient::with_origin(client, origin);
    let mut client = client.max_encoding_message_size(usize::MAX);
    let answer = client.write_raw(with_headers(message, headers)).await;
    answer.map_err(|status| Failure::of_grpc(&status))?;
    Ok(())
}

fn with_headers<T>(message: T, headers: HeaderMap) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    request
}
