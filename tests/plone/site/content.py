# `zconsole run zope.conf content.py`: the site that the tests know. `app` is Zope's root.
import os

import transaction
from AccessControl.SecurityManagement import newSecurityManager
from plone.app.textfield.value import RichTextValue
from plone.registry.interfaces import IRegistry
from Products.CMFPlone.factory import addPloneSite
from zope.component import getUtility

# name → role, name that pages show; each has the password "NAME-secret" and the address "NAME@mail.example.test".
USERS = {
    "edwinaquill": ("Editor", "Edwina Featherstonehaugh"),
    "alicemarch": ("Member", "Alice Marchbanks"),
    "bobtremaine": ("Member", "Bob Tremainewright"),
    "carolinus": ("Member", "Carol Oglethorpe"),
}

app.acl_users.userFolderAddUser("admin", "admin-secret", ["Manager"], [])  # noqa: F821
newSecurityManager(None, app.acl_users.getUser("admin").__of__(app.acl_users))  # noqa: F821
site = addPloneSite(
    app,  # noqa: F821
    "Plone",
    title="Sample",
    extension_ids=["plone.app.contenttypes:default", "plonetheme.barceloneta:default", "plone.app.caching:default", "plone.app.caching:with-caching-proxy"],
)

for name, (role, shown) in USERS.items():
    properties = {"username": name, "email": f"{name}@mail.example.test", "fullname": shown}
    site.portal_registration.addMember(name, f"{name}-secret", roles=("Member", role), properties=properties)

workflow = site.portal_workflow
workflow.setDefaultChain("simple_publication_workflow")


def add(folder, kind, slug, title, text=None):
    folder.invokeFactory(kind, slug, title=title)
    made = folder[slug]
    if text:
        made.text = RichTextValue(f"<p>{text}</p>", "text/html", "text/html")
    workflow.doActionFor(made, "publish")
    made.reindexObject()
    return made


for section in ["news", "papers"]:
    folder = add(site, "Folder", section, section.capitalize())
    for number in range(1, 9):
        add(folder, "Document", f"{section}-{number}", f"{section.capitalize()} {number}", f"Text of {section} {number}.")
add(site, "Folder", "drafts", "Drafts")
site.news.manage_setLocalRoles("edwinaquill", ["Contributor", "Editor", "Reviewer"])

# Which caching: pages too are kept by the proxy, those of visitors who are not signed in, and purged when they change. This is what the
# control panel "Caching" sets.
registry = getUtility(IRegistry)
operations = dict(registry["plone.caching.interfaces.ICacheSettings.operationMapping"])
for ruleset in ["plone.content.itemView", "plone.content.folderView"]:
    operations[ruleset] = "plone.app.caching.moderateCaching"
registry["plone.caching.interfaces.ICacheSettings.operationMapping"] = operations
registry["plone.caching.interfaces.ICacheSettings.enabled"] = True
registry["plone.app.caching.interfaces.IPloneCacheSettings.purgedContentTypes"] = ("Document", "Folder", "File", "Image", "News Item")
registry["plone.app.caching.moderateCaching.smaxage"] = 3600
registry["plone.app.caching.moderateCaching.anonOnly"] = True
registry["plone.cachepurging.interfaces.ICachePurgingSettings.enabled"] = True
registry["plone.cachepurging.interfaces.ICachePurgingSettings.cachingProxies"] = (os.environ["CACHING_PROXY"],)

# The site's host name leads to the site; nothing between Copal and Zope writes URLs anew.
app.virtual_hosting.set_map("www.example.test/Plone")  # noqa: F821
transaction.commit()
