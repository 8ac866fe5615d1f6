-- Asks Vestibule whether a request may pass: `http-request lua.vestibule` in haproxy.cfg.
--
-- Sets txn.vestibule to "permitted" and the identity headers where Vestibule says 202, and answers
-- the client with Vestibule's own answer everywhere else. Must never set the variable for any other
-- reason: haproxy.cfg denies what does not have it, so that an error in here lets nothing pass.

local question = os.getenv("VESTIBULE") .. "/oauth2/auth"

-- Milliseconds. A question may have to wait until the provider has renewed the session.
local patience = 15000

-- Headers by which Vestibule says who it is (`identity.headers` in vestibule.yaml).
local identity = {
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-preferred-username",
    "x-auth-request-groups",
    "x-vestibule-session",
    "x-vestibule-licence",
    "x-vestibule-bearer",
}

-- Headers of the request that are not those of the question.
local not_asked = {
    ["host"] = true,
    ["connection"] = true,
    ["content-length"] = true,
    ["expect"] = true,
    ["keep-alive"] = true,
    ["te"] = true,
    ["trailer"] = true,
    ["transfer-encoding"] = true,
    ["upgrade"] = true,
    ["x-forwarded-method"] = true,
    ["x-forwarded-uri"] = true,
}

-- Headers of a refusal that are not those of its answer.
local not_answered = {
    ["connection"] = true,
    ["content-length"] = true,
    ["keep-alive"] = true,
    ["transfer-encoding"] = true,
}

-- The values of a header, from a table that HAProxy counts from 0.
local function values(held)
    local list = {}
    for index = 0, #held do
        if held[index] ~= nil then
            list[#list + 1] = held[index]
        end
    end
    return list
end

local function refuse(txn, response)
    local reply = txn:reply()
    local status = response.status
    -- 0 where there was no answer. No refusal says that it was granted.
    if status < 300 then
        reply:set_status(503)
    else
        reply:set_status(status)
        for name, held in pairs(response.headers) do
            if not not_answered[name:lower()] then
                for _, value in ipairs(values(held)) do
                    reply:add_header(name, value)
                end
            end
        end
        reply:set_body(response.body or "")
    end
    txn:done(reply)
end

core.register_action("vestibule", { "http-req" }, function(txn)
    local headers = {}
    for name, held in pairs(txn.http:req_get_headers()) do
        if not not_asked[name] then
            headers[name] = values(held)
        end
    end
    headers["x-forwarded-method"] = { txn.f:method() }
    -- Path and query as the client wrote them.
    headers["x-forwarded-uri"] = { txn.f:pathq() }

    local response = core.httpclient():get({ url = question, headers = headers, timeout = patience })
    if response.status ~= 202 then
        refuse(txn, response)
        return
    end
    for _, name in ipairs(identity) do
        txn.http:req_del_header(name)
        local held = response.headers[name]
        if held ~= nil then
            txn.http:req_set_header(name, values(held)[1])
        end
    end
    -- What the app needs to trust the request; on routes without, what the client brought itself.
    -- credentials: local credential = response.headers["authorization"]
    -- credentials: if credential ~= nil then txn.http:req_set_header("authorization", values(credential)[1]) end
    local cookies = response.headers["set-cookie"]
    if cookies ~= nil then
        txn:set_var("txn.vestibule_cookie", values(cookies)[1])
    end
    txn:set_var("txn.vestibule", "permitted")
end, 0)
