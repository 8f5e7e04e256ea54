package api

func (a *API) registerCommenda() {}
