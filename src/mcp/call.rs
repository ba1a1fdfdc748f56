//! A call of a server's tool: sent, followed, and taken back when nobody waits for it any more.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::FutureExt;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientRequest, JsonObject, RequestMetaObject,
    ServerResult,
};
use rmcp::service::{PeerRequestOptions, RequestHandle, RoleClient, ServiceError};

use super::content::{read, read_unknown};
use super::door::{Door, Line};
use super::trouble::{Failed, failed, lost, unreached};
use crate::tools::{CallContext, Error, Tool, ToolFuture};

/// Where a call's own key travels, in `_meta`: the same on each try.
const KEY: &str = "callsheet/idempotency-key";

/// And its span (SEP-414).
const TRACE_PARENT: &str = "traceparent";

/// A tool of a server, for one worker.
pub(super) struct ServerTool {
    /// The server's own name of it.
    pub name: Arc<str>,
    pub door: Door,
}

impl Tool for ServerTool {
    fn call(&self, arguments: &str, context: CallContext) -> ToolFuture {
        let arguments = match serde_json::from_str::<JsonObject>(arguments) {
            Ok(arguments) => arguments,
            Err(error) => {
                return std::future::ready(Err(Error::bad_arguments(error))).boxed_local();
            }
        };
        let (name, door) = (Cow::Owned(self.name.to_string()), self.door.clone());
        async move {
            let line = door.line(&context).await?;
            let answer = line.call(name, arguments, context).await;
            if let Err(Failed::Line(_)) = &answer {
                door.report_broken(line.life);
            }
            answer.unwrap_or_else(|failed| Err(failed.into_error()))
        }
        .boxed_local()
    }
}

impl Line {
    async fn call(
        &self,
        name: Cow<'static, str>,
        arguments: JsonObject,
        context: CallContext,
    ) -> Result<Result<String, Error>, Failed> {
        let mut meta = RequestMetaObject::new();
        meta.insert(KEY.to_owned(), context.key().to_string().into());
        if let Some(parent) = context.trace_parent() {
            meta.insert(TRACE_PARENT.to_owned(), parent.to_string().into());
        }
        let options = PeerRequestOptions::no_options().with_meta(meta);
        let params = CallToolRequestParams::new(name).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let sent = self.peer.send_cancellable_request(request, options).await;
        let handle = sent.map_err(|_| Failed::Line(unreached(&self.server)))?;
        self.ears.follow(handle.progress_token.clone(), context);
        let mut waiting = Waiting { handle: Some(handle), line: self };
        let answer = waiting.answer().await;
        match answer {
            None => Err(Failed::Call(lost(&self.server))), // Its keeper sees the end, too.
            Some(Err(error)) => Err(failed(&self.server, error)),
            Some(Ok(ServerResult::CallToolResult(result))) => Ok(read(result)),
            Some(Ok(ServerResult::CustomResult(result))) => Ok(read_unknown(&result.0)),
            Some(Ok(ServerResult::EmptyResult(_))) => Ok(Ok(String::new())),
            Some(Ok(ServerResult::InputRequiredResult(_))) => {
                let message = "the tool asks for further input, and there is nobody to give it";
                Ok(Err(Error::permanent(message).code("input_required")))
            }
            Some(Ok(_)) => {
                let message = "the server answers something else than the result of a tool";
                Ok(Err(Error::permanent(message).code("protocol_error")))
            }
        }
    }
}

/// A request that is under way. Dropped before its answer it is taken back: the server is told, or
/// over HTTP has its stream closed.
struct Waiting<'a> {
    handle: Option<RequestHandle<RoleClient>>,
    line: &'a Line,
}

impl Waiting<'_> {
    /// `None` if the connection ended.
    async fn answer(&mut self) -> Option<Result<ServerResult, ServiceError>> {
        let handle = self.handle.as_mut()?;
        let answer = (&mut handle.rx).await.ok();
        self.line.ears.forget(&handle.progress_token);
        self.handle = None;
        answer
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            self.line.ears.forget(&handle.progress_token);
            let reason = Some("nobody waits for it any more".to_owned());
            self.line.io.spawn(handle.cancel(reason));
        }
    }
}
