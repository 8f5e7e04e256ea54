module grapnel/verify/go

go 1.24.0
