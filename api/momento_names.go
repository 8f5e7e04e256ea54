package api

import "grapnel/internal/hook"

// Names are segments of paths. net/http has removed their percent-encoding: a slash in a name is sent as %2F and does
// not separate segments. The embedded types are exported for the same reason as IDPath.

// CachePath is the path of the resources of a cache.
type CachePath struct {
	CacheName string `path:"cacheName" doc:"The cache: 1 to 128 characters of any kind but controls, percent-encoded (a slash as %2F). White space around it does not count." example:"chat"`
}

// WebhookPath is the path of a topic webhook.
type WebhookPath struct {
	CachePath
	WebhookName string `path:"webhookName" doc:"The webhook within the cache: 1 to 128 characters of any kind but controls, percent-encoded (a slash as %2F). White space around it does not count." example:"translator"`
}

// TopicPath is the path of a topic.
type TopicPath struct {
	CachePath
	TopicName string `path:"topicName" doc:"The topic of the cache: 1 to 128 characters of any kind but controls, percent-encoded (a slash as %2F). White space around it does not count." example:"mo-nuts"`
	Token     string `query:"token" doc:"The API key, for clients that can't set the header Authorization. Not both."`
}

func (p *CachePath) name(wrong *[]hook.Violation) string {
	return checkedName("path.cacheName", p.CacheName, wrong)
}

func (p *WebhookPath) names(wrong *[]hook.Violation) (cache, webhook string) {
	return p.name(wrong), checkedName("path.webhookName", p.WebhookName, wrong)
}

func (p *TopicPath) names(wrong *[]hook.Violation) (cache, topic string) {
	return p.name(wrong), checkedName("path.topicName", p.TopicName, wrong)
}

// checkedName trims a name and notes what is wrong with it. It returns an invalid name as it was given, so that no
// other check finds more wrong with it.
func checkedName(location, given string, wrong *[]hook.Violation) string {
	name := hook.TrimName(given)
	problem := hook.NameProblem(name)
	if problem == "" {
		return name
	}
	*wrong = append(*wrong, hook.Violation{Location: location, Message: problem})
	return given
}
