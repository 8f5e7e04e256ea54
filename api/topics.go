package api

func (a *API) registerTopics() {}
