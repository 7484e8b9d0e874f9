"""The SQL of tenancy, a file per noun. Stores are opened for one tenant; what spans tenants is named so."""
