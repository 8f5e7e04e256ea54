package api

func (a *API) registerMomento() {}
