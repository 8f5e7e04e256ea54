package api

import "grapnel/internal/hook"

// Names are segments of paths, and net/http has taken their percent-encoding off:
// a slash in a name comes as %2F and is no slash of the path. What is embedded
// here is exported like IDPath.

// CachePath is the path of what belongs to a cache.
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

// checkedName trims a name and notes what is wrong with it; then it stays as it
// was given, so that nothing else is found wrong for its sake.
func checkedName(location, given string, wrong *[]hook.Violation) string {
	name := hook.TrimName(given)
	problem := hook.NameProblem(name)
	if problem == "" {
		return name
	}
	*wrong = append(*wrong, hook.Violation{Location: location, Message: problem})
	return given
}
