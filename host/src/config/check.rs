//! Whether instances fit their plugins.
