use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let root = Path::new("../../../protos");
    let files = ["error_reason", "platform", "social_account_service", "social_post_service"]
        .map(|name| root.join("hitchpost/v1").join(name).with_extension("proto"));
    tonic_prost_build::configure().build_server(false).compile_protos(&files, &[root.to_path_buf()])
}
