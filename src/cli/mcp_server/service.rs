//! The protocol's requests, and what answers each.

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter, Tool,
};
use rmcp::service::{NotificationContext, RequestContext, RoleServer, SubscriptionContext};
use rmcp::{ErrorData, ServerHandler};

use super::Served;
use super::listing::listing;

impl ServerHandler for Served {
    fn get_info(&self) -> ServerConfig {
        let can_change = self.0.source.is_some();
        let capabilities = ServerCapabilities::builder().enable_tools();
        let capabilities = match can_change {
            true => capabilities.enable_tool_list_changed().build(),
            false => capabilities.build(),
        };
        let own = Implementation::new("callsheet", env!("CARGO_PKG_VERSION"));
        ServerConfig::new(capabilities).with_server_info(own)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(listing(&self.tools())))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(request, context).await.map(CallToolResponse::from)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tools = self.tools();
        let place = tools.names().iter().position(|known| *known.on_the_wire == *name)?;
        listing(&tools).into_iter().nth(place)
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if self.0.source.is_some() {
            self.0.listeners.add(context.peer);
        }
    }

    fn accepted_subscription_filter(&self, _: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(SubscriptionFilter::builder().tools_list_changed().build())
    }

    async fn listen(&self, client: SubscriptionContext) -> Result<(), ErrorData> {
        let mut source = self.0.source.clone();
        let changed = async {
            while let Some(source) = &mut source
                && source.changed().await
                && client.sink().notify_tool_list_changed().await.is_ok()
            {}
            std::future::pending().await
        };
        tokio::select! {
            () = client.cancelled() => Ok(()),
            () = changed => Ok(()),
        }
    }
}
